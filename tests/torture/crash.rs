//! The crash sweep: random requests, KILL at a random moment, a new daemon, and everything that was promised looked at.
//!
//! In: how many kills, the seed, and a stand. Out: a [`Report`], or a panic with a case file. Every choice comes from the seed, and
//! from what there is to choose from. How the processes run against each other is the system's: a repetition strikes at the same
//! places and nearly the same times, and where another backup comes of it, later rounds choose among others.

use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::offsite::{Kind, Offsite};
use super::promises::Promised;
use super::report::Report;
use super::request::{Answer, DATABASE, FOLDER, Request};
use super::strike::{Hit, Moment, Strike, Target};
use crate::harness::stand::{Content, Place, Stand};
use crate::harness::{TestEnv, listing};

/// What the daemon says loudly when it or its tool was killed; anything else fails the sweep.
const LOUD: [&str; 3] = ["ended a command of an earlier daemon", "backup failed", "restore failed"];

/// The same of a sweep with a bucket: what sends a backup was killed, and it is sent later.
const UNSENT: &str = "the backup is not in the repository: ";

/// How many of its last rounds a failed sweep tells.
const JOURNAL: usize = 20;

/// What a sweep is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) place: Place,
    /// How often KILL is sent, to daemons and tools together.
    pub(crate) kills: u32,
    pub(crate) seed: u64,
    /// How many requests are under way at once, at the most.
    pub(crate) jobs_at_once: usize,
    /// How many backups are kept, at the most.
    pub(crate) backups: usize,
    /// Whether each daemon after a strike stores its backups in another form: as files or as streams, compressed or not.
    pub(crate) streams: bool,
    /// The store with the bucket in which backups are kept too, or alone, as the setting is after each daemon that was killed. None: backups
    /// are kept here.
    pub(crate) repository: Option<Kind>,
}

/// The forms in which a backup is stored: `stream` and `compression` in the settings.
const FORMS: [(&str, &str); 4] = [("", ""), ("true", ""), ("true", "gzip"), ("true", "zstd")];

/// A sweep under way.
pub(super) struct Sweep {
    pub(super) terms: Terms,
    /// Where the rounds' sources come from.
    seeds: fastrand::Rng,
    pub(super) random: fastrand::Rng,
    pub(super) stand: Box<dyn Stand>,
    pub(super) promised: Promised,
    pub(super) report: Report,
    /// What was done, for the case file.
    journal: Vec<String>,
    /// How long a call of the tool takes with all that belongs to it, by the kind of job.
    lengths: BTreeMap<&'static str, Duration>,
    /// What the server holds.
    pub(super) content: Rc<Content>,
    /// Whether the server runs; else its data was lost, and the data directory waits for a restore.
    pub(super) is_up: bool,
    /// The backups since the last restore: an incremental from an earlier one would be of another server's life.
    pub(super) bases: Vec<String>,
    pub(super) changes: u32,
    pub(super) names: u32,
    /// The newest restore that was looked at.
    pub(super) restores_seen: i64,
    /// The bucket, if backups are kept in one.
    pub(super) offsite: Option<Offsite>,
}

/// Sweeps. None, and a skip: the stand cannot be set up here.
pub(crate) fn sweep(terms: Terms, tell: &mut dyn FnMut(&Report)) -> Option<Report> {
    let mut stand = terms.place.set_up()?;
    stand.script_the_tool();
    for text in LOUD {
        stand.env().may_log(text);
    }
    let offsite = match terms.repository {
        Some(kind) => Some(Offsite::set_up(kind, stand.env_mut())?),
        None => None,
    };
    if offsite.is_some() {
        stand.env().may_log(UNSENT);
    }
    stand.env().keep_if_it_fails();
    stand.env().start_daemon();
    let content = Rc::new(stand.content());
    let mut seeds = fastrand::Rng::with_seed(terms.seed);
    let mut sweep = Sweep {
        terms,
        random: seeds.fork(),
        seeds,
        stand,
        promised: Promised::new(offsite.is_some()),
        report: Report::default(),
        journal: Vec::new(),
        lengths: BTreeMap::new(),
        content,
        is_up: true,
        bases: Vec::new(),
        changes: 0,
        names: 0,
        restores_seen: 0,
        offsite,
    };
    sweep.measure();
    while sweep.report.kills() < terms.kills {
        sweep.round();
        tell(&sweep.report);
    }
    sweep.restore_all();
    if let Some(offsite) = &sweep.offsite {
        (sweep.report.looks, sweep.report.seen) = (offsite.looks.get(), offsite.seen.get());
    }
    Some(std::mem::take(&mut sweep.report))
}

impl Sweep {
    pub(super) fn env(&self) -> &TestEnv {
        self.stand.env()
    }

    /// One of each kind of job without a strike: that it works, and how long it takes.
    fn measure(&mut self) {
        let full = Request::Backup { id: self.name(), base: None };
        self.undisturbed("backup", full);
        self.change();
        let incremental = Request::Backup { id: self.name(), base: self.bases.last().cloned() };
        self.undisturbed("backup", incremental);
        let chain = self.chain_to(&self.bases[1]);
        self.undisturbed(FOLDER, Request::Restore { chain: chain.clone(), target: FOLDER });
        self.lose_everything();
        self.undisturbed(DATABASE, Request::Restore { chain, target: DATABASE });
        assert!(self.is_up, "the restore before the first strike");
    }

    pub(super) fn undisturbed(&mut self, kind: &'static str, request: Request) {
        self.note(&format!("{request}, undisturbed"));
        let (begun, calls) = (Instant::now(), u32::try_from(request.calls()).unwrap());
        let before = self.data_dir_now();
        let id = self.env().done(&request.json());
        self.lengths.insert(kind, begun.elapsed() / calls);
        assert_eq!(self.outcome(&id).as_deref(), Some("success"), "nothing disturbed it: {request}");
        self.look_at(vec![(request, Answer::Accepted(id))], &before);
    }

    fn round(&mut self) {
        self.report.rounds += 1;
        // Each round has a source of its own: what came of the one before changes no more of it than it must.
        self.random = self.seeds.fork();
        self.thin_out();
        // Between the kills some work is done in peace, else there would be little to lose.
        if self.random.u32(0..3) == 0 {
            self.work_in_peace();
        }
        if self.is_up && self.random.bool() {
            self.change();
        }
        if self.offsite.is_some() && self.random.u32(0..5) == 0 {
            self.strike_an_adoption();
        }
        let requests = self.draw_requests();
        let works = |request: &&Request| self.is_up || !request.is_backup();
        let calls = requests.iter().filter(works).map(Request::calls).sum();
        let strike = Strike::draw(&mut self.random, calls);
        let told: Vec<_> = requests.iter().map(ToString::to_string).collect();
        self.note(&format!("{}; {strike}", told.join(" and ")));

        let before = self.data_dir_now();
        let tool = self.stand.tool();
        let rows = self.env().count("process", "1");
        strike.aim(self.env(), tool);
        let sent: Vec<_> = requests.iter().map(|request| self.env().try_send_aside(request.json())).collect();
        let length = self.length_of(&requests);
        let all_calls: usize = requests.iter().map(Request::calls).sum();
        let hit = strike.carry_out(self.env(), tool, length, length / u32::try_from(all_calls).unwrap());
        if strike.is_of_daemon() {
            assert_eq!(self.env().wait_for_end(), None, "the daemon ends by KILL and nothing else");
        }
        let replies: Vec<_> = sent.into_iter().map(|sent| sent.join().unwrap()).collect();
        if strike.is_of_daemon() {
            // What still waits at its place is ended by the next daemon, or goes on for nothing.
            self.change_form();
            self.env().start_daemon();
        } else {
            // More than one job may be under way: whoever comes to the place now goes on.
            fs::write(self.env().path("go"), b"").unwrap();
            self.env().settled();
        }
        Strike::clear(self.env(), tool);
        self.report.count(hit, strike.moment);
        let asked = requests.into_iter().zip(replies).map(|(request, reply)| {
            let answer = self.answer(&request, reply.ok().filter(|reply| !reply.is_empty()), &strike);
            (request, answer)
        });
        let asked: Vec<_> = asked.collect();
        self.look_at(asked, &before);
        self.check_tool_kill(&strike, hit, rows);
    }

    /// The next daemon's backups are stored in another form, and chains are of many.
    pub(super) fn change_form(&mut self) {
        if self.offsite.is_some() {
            let (compression, keep_local) = (self.random.choice(["", "gzip", "zstd"]).unwrap(), self.random.bool());
            self.stand.env_mut().set("compression", compression);
            self.stand.env_mut().set("keep_local", if keep_local { "true" } else { "false" });
            self.note(&format!("from now on keep_local: {keep_local}, compression: '{compression}'"));
        } else if self.terms.streams {
            let (stream, compression) = self.random.choice(FORMS).unwrap();
            self.stand.env_mut().set("stream", stream);
            self.stand.env_mut().set("compression", compression);
            self.note(&format!("from now on stream: '{stream}', compression: '{compression}'"));
        }
    }

    /// What the daemon said. It answers unless it is killed, and accepts what it can do.
    fn answer(&self, request: &Request, reply: Option<String>, strike: &Strike) -> Answer {
        let Some(reply) = reply else {
            assert!(strike.is_of_daemon(), "a daemon that lives answers: {request}");
            return Answer::Nothing;
        };
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        if reply["code"] == 202 {
            return Answer::Accepted(reply["id"].as_str().unwrap().to_owned());
        }
        assert!(reply["code"] == 503 && request.is_backup() && !self.is_up, "{request} was refused: {reply}");
        Answer::Refused
    }

    /// A tool that was killed alone: the daemon lives on, and its row says so.
    fn check_tool_kill(&self, strike: &Strike, hit: Hit, rows_before: i64) {
        if strike.target != Target::Tool {
            return;
        }
        let of_the_round = format!("id > {rows_before} AND status = 'failed'");
        let by_kill = "(return_code = -9 OR error LIKE '%the repository did not take the backup: %signal 9%')";
        let killed = self.env().count("process", &format!("{of_the_round} AND {by_kill}"));
        assert_eq!(self.env().count("process", &of_the_round), killed, "nothing fails but what was killed");
        if matches!(strike.moment, Moment::During(_)) {
            assert_eq!((hit.tools, killed), (1, 1), "the tool stood still and was killed");
        }
        assert!(killed <= i64::from(hit.tools), "{killed} rows tell of a kill, {} were sent", hit.tools);
    }

    fn length_of(&self, requests: &[Request]) -> Duration {
        let length = |request: &Request| {
            let kind = if let Request::Restore { target, .. } = request { target } else { "backup" };
            self.lengths[kind] * u32::try_from(request.calls()).unwrap()
        };
        requests.iter().map(length).sum()
    }

    pub(super) fn note(&mut self, what: &str) {
        self.journal.push(format!("{}. {what}", self.journal.len() + 1));
    }
}

impl Drop for Sweep {
    /// A sweep that fails says how to repeat it, and leaves a case file beside all that was seen.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let Terms { place, kills, seed, jobs_at_once, backups, streams, repository } = self.terms;
        let repeat = format!(
            "ci/torture crash --on {} --kills {kills} --seed {seed} --jobs-at-once {jobs_at_once} --backups {backups}{}{}",
            super::name_of(place),
            if streams { " --streams" } else { "" },
            match repository {
                Some(Kind::Fakes) => " --repository",
                Some(Kind::Radosgw) => " --repository radosgw",
                None => "",
            }
        );
        let last = &self.journal[self.journal.len().saturating_sub(JOURNAL)..];
        let text = format!("--- repeat it by\n{repeat}\n--- what was done, the last at the end\n{}\n", last.join("\n"));
        let lists = ["backups/tmp", "backups/restores", "data", "run"]
            .map(|dir| format!("{dir}: {}\n", self.env().listing(dir)));
        let data = format!("the server's own: {}\n", listing(&self.stand.data_dir()));
        let path = self.env().path("case.txt");
        let lists = format!("--- files elsewhere\n{}{data}", lists.concat());
        let _ = fs::write(&path, format!("{text}{lists}{}", self.env().case_file()));
        eprintln!("{text}--- this and more is in {}", path.display());
    }
}
