//! Random histories of one server's data, with a step back or without one; after each, an incremental from a base that the data descend
//! from has to come to a success, and one from any other base has to be refused.
//!
//! What the data descend from is known here by what was done to them, and from nothing that the daemon left.

use std::collections::BTreeMap;
use std::fmt;

use fastrand::Rng;

use super::site::Site;

/// How the sweep went.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Histories, without a step back and with one.
    pub(crate) histories: [u32; 2],
    /// Incrementals from a base that the data descend from, all taken.
    pub(crate) taken: u32,
    /// Incrementals from another base, all refused.
    pub(crate) refused: u32,
    /// Chains restored at the end of a history and compared.
    pub(crate) compared: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories: [straight, back], taken, refused, compared } = self;
        write!(
            f,
            "{straight} histories without a step back and {back} with one: {taken} incrementals from a good base taken, none refused; \
             {refused} from another base refused, none taken; {compared} chains restored and compared"
        )
    }
}

/// A backup that the daemon has taken.
struct Taken {
    /// Its chain, full backup first.
    chain: Vec<String>,
}

struct History {
    site: Site,
    random: Rng,
    backups: BTreeMap<String, Taken>,
    /// The backups that the data descend from.
    descent: Vec<String>,
    /// Copies of the data, each with what it descends from.
    copies: Vec<(tempfile::TempDir, Vec<String>)>,
    number: u32,
    told: Vec<String>,
}

/// What happens to data that go on.
const ONWARD: [&str; 7] = ["write", "full", "incremental", "crash", "restart", "new redo log", "copy"];
/// What takes data back, or away.
const BACK: [&str; 4] = ["restore", "restore by hand", "put back", "install anew"];

/// Goes through so many histories of each kind. None if there is no server here.
///
/// # Panics
/// A good incremental was refused, or a bad one taken; with all that happened before.
pub(crate) fn sweep(runs: u32, seed: u64, progress: &mut dyn FnMut(&Report)) -> Option<Report> {
    let mut report = Report::default();
    let mut random = Rng::with_seed(seed);
    for run in 0..runs * 2 {
        let with_step_back = run % 2 == 1;
        let history = History::begin(random.fork())?;
        history.run(with_step_back, &mut report);
        report.histories[usize::from(with_step_back)] += 1;
        progress(&report);
    }
    Some(report)
}

impl History {
    fn begin(random: Rng) -> Option<Self> {
        let site = Site::new()?;
        Some(Self {
            site,
            random,
            backups: BTreeMap::new(),
            descent: Vec::new(),
            copies: Vec::new(),
            number: 0,
            told: Vec::new(),
        })
    }

    fn run(mut self, with_step_back: bool, report: &mut Report) {
        for deed in ["full", "write", "copy", "incremental", "write"] {
            self.onward(deed, report);
        }
        for _ in 0..self.random.usize(1..5) {
            let deed = self.random.choice(ONWARD).unwrap();
            self.onward(deed, report);
        }
        if with_step_back {
            let deed = self.random.choice(BACK).unwrap();
            self.back(deed);
            for _ in 0..self.random.usize(1..4) {
                let deed = self.random.choice(["write", "crash", "restart", "new redo log", "full"]).unwrap();
                self.onward(deed, report);
            }
            // Behind the end of every backup before: until then the tool itself refuses.
            for _ in 0..8 {
                self.site.write();
            }
        }
        for base in self.backups.keys().cloned().collect::<Vec<_>>() {
            self.try_incremental(&base, report);
        }
        self.compare(report);
    }

    fn onward(&mut self, deed: &str, report: &mut Report) {
        self.told.push(deed.to_owned());
        match deed {
            "write" => self.site.write(),
            "full" => {
                let id = self.name();
                self.site.env.full(&id);
                assert_eq!(
                    self.site.env.count("backup", &format!("id = '{id}'")),
                    1,
                    "{}",
                    self.site.env.newest("error")
                );
                self.backups.insert(id.clone(), Taken { chain: vec![id.clone()] });
                self.descent.push(id);
            }
            "incremental" => {
                if let Some(base) = self.random.choice(self.descent.clone()) {
                    self.try_incremental(&base, report);
                }
            }
            "crash" => {
                self.site.server.crash();
                self.site.server.run();
            }
            "restart" => {
                self.site.server.stop();
                self.site.server.run();
            }
            "new redo log" => {
                let size = self.random.u32(16..80);
                self.site.server.sql(&format!("SET GLOBAL innodb_log_file_size = {size} * 1024 * 1024"));
            }
            "copy" => {
                let copy = self.site.copy_data();
                self.copies.push((copy, self.descent.clone()));
            }
            other => unreachable!("{other}"),
        }
    }

    fn back(&mut self, deed: &str) {
        let ids: Vec<_> = self.backups.keys().cloned().collect();
        let id = self.random.choice(ids).unwrap();
        let chain = self.backups[&id].chain.clone();
        let names: Vec<_> = chain.iter().map(String::as_str).collect();
        self.told.push(format!("{deed} {}", names.join(" ")));
        match deed {
            "restore" => {
                self.site.restore(&names);
                self.descent.clone_from(&chain);
            }
            "restore by hand" => {
                self.site.restore_by_hand(&names);
                self.descent.clone_from(&chain);
            }
            "put back" => {
                let (copy, descent) = self.random.choice(&self.copies).unwrap();
                self.site.put_back(&copy.path().join("data"));
                self.descent.clone_from(descent);
            }
            "install anew" => {
                self.site.install_anew();
                self.descent.clear();
            }
            other => unreachable!("{other}"),
        }
    }

    fn name(&mut self) -> String {
        self.number += 1;
        format!("b{}", self.number)
    }

    fn try_incremental(&mut self, base: &str, report: &mut Report) {
        let id = self.name();
        let came = self.site.incremental(&id, base);
        self.told.push(format!("{id} from {base}: {came:?}"));
        let is_good = self.descent.iter().any(|known| known == base);
        // A restore by hand brings the word of the chain's last member alone; for the others it is refused, to be safe.
        let is_known = !self.told.iter().any(|told| told.starts_with("restore by hand") && !told.ends_with(base));
        match (is_good, &came) {
            (true, Ok(())) => {
                report.taken += 1;
                let mut chain = self.backups[base].chain.clone();
                chain.push(id.clone());
                self.backups.insert(id.clone(), Taken { chain });
                self.descent.push(id);
            }
            (false, Err(_)) => report.refused += 1,
            (true, Err(_)) if !is_known => {}
            _ => panic!("a wrong answer, where the data descend from {:?}: {:#?}", self.descent, self.told),
        }
        if let Err(why) = came
            && !why.contains("\"code\": 400")
        {
            self.site.env.expect_log("backup failed");
        }
    }

    /// What the newest incremental brings back is what the server holds.
    fn compare(&mut self, report: &mut Report) {
        let Some(base) = self.descent.last().cloned() else { return };
        self.site.write();
        let before = report.taken;
        self.try_incremental(&base, report);
        if report.taken == before {
            return;
        }
        let content = self.site.server.content();
        let last = self.descent.last().unwrap();
        let chain = self.backups[last].chain.clone();
        self.site.restore(&chain.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(self.site.server.content(), content, "{:#?}", self.told);
        report.compared += 1;
    }
}
