//! Scheduled events after a replay: each as it was on the server, since a replica disables what it makes or changes.

use std::io::BufReader;

use super::client::Client;
use super::run::{ReplayError, Run};
use crate::binlog::archive::Archived;
use crate::binlog::event::{Event, STATEMENT};
use crate::binlog::reader::{Placed, Reader};
use crate::binlog::scheduled::{Scheduled, Status};

impl Run<'_> {
    /// Has each scheduled event as it was on the server. `before` are those of the backup. Gives those of which nobody can tell.
    pub(super) async fn settle_events(
        &self,
        client: &Client<'_>,
        before: Vec<(String, String, Status)>,
    ) -> Result<Vec<String>, ReplayError> {
        let here = |events: Vec<(String, String, Status)>| {
            events.into_iter().filter(|(_, _, status)| *status == Status::DisabledHere).collect::<Vec<_>>()
        };
        let now = here(client.events().await?);
        let known = here(before.clone());
        if now.iter().all(|event| known.contains(event)) {
            return Ok(Vec::new());
        }
        let mut scheduled = Scheduled::default();
        for (database, name, status) in before {
            scheduled.add(&database, &name, status);
        }
        self.follow_events(&mut scheduled)?;
        let mut unknown = Vec::new();
        for (database, name, _) in now {
            match scheduled.status(&database, &name) {
                Status::Enabled => client.set_event((&database, &name), "ENABLED").await?,
                Status::Disabled => client.set_event((&database, &name), "DISABLED").await?,
                Status::DisabledHere => {}
                Status::Unknown => unknown.push(format!("{database}.{name}")),
            }
        }
        Ok(unknown)
    }

    /// Takes note of what each statement on the way has made of the scheduled events.
    fn follow_events(&self, scheduled: &mut Scheduled) -> Result<(), ReplayError> {
        let archive = self.archive;
        let all = archive.files(self.timeline)?.into_iter().map(|(_, name)| name);
        let (mut is_first, mut is_last) = (true, false);
        for name in all.skip_while(|name| *name != self.from.file) {
            if is_last {
                break;
            }
            is_last = name == self.to.file;
            let Some(entry) = archive.entry(self.timeline, &name)? else { return Err(ReplayError::Missing(name)) };
            let input = BufReader::new(Archived { timeline: self.timeline, entry }.open(archive)?);
            let damaged = |why| ReplayError::Log(name.clone(), why);
            let mut reader = Reader::begin(input).map_err(damaged)?;
            while let Some(Placed { at, event, .. }) = reader.event().map_err(damaged)? {
                if is_last && at >= self.to.position {
                    break;
                }
                if let Event::Query { database, text } = event
                    && (!is_first || at >= self.from.position)
                {
                    scheduled.apply(&database, &text, text.len() < STATEMENT);
                }
            }
            is_first = false;
        }
        Ok(())
    }
}
