//! What `apply` has done to a Postfix, kept beside `main.cf`: the former files and a list of settings.

use std::fs;
use std::io;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::instance::{Files, Instance, Present};
use super::modes::{self, Place, Setting};
use super::{Trouble, exit};

const RECORD: &str = "main.cf.sekisho-state";
const FORMER_MAIN: &str = "main.cf.sekisho-before";
const FORMER_MASTER: &str = "master.cf.sekisho-before";
const SCHEMA: &str = "sekisho.postfix/1";

/// The settings of one `apply`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    schema: String,
    mode: String,
    settings: Vec<Made>,
    /// SHA-256 of the files before and after.
    main: [String; 2],
    master: [String; 2],
}

/// A setting, and what stood in its place.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    #[serde(flatten)]
    setting: Setting,
    former: Option<String>,
}

/// The files of a record as they were, to bring back.
pub struct Former(Vec<(&'static str, Option<Vec<u8>>)>);

impl Record {
    pub fn new(mode: &str, settings: &[Setting], present: &Present, base: &Files, after: &Files) -> Self {
        let made = |setting: &Setting| Made {
            setting: setting.clone(),
            former: present.value(&setting.place).map(str::to_owned),
        };
        Self {
            schema: SCHEMA.to_owned(),
            mode: mode.to_owned(),
            settings: settings.iter().map(made).collect(),
            main: [hash(&base.main), hash(&after.main)],
            master: [hash(&base.master), hash(&after.master)],
        }
    }

    /// The record of the last `apply`, if there was one.
    pub fn read(instance: &Instance) -> Result<Option<Self>, Trouble> {
        let path = instance.path(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Trouble::file(&path, &error)),
        };
        let record: Option<Self> = serde_json::from_str(&text).ok();
        let known = record.filter(|record| record.schema == SCHEMA);
        known.map(Some).ok_or_else(|| {
            let advice = "restore Postfix's files by hand (they lie beside it as *.sekisho-before), then remove it";
            Trouble::new(exit::DATA, format!("{} is not understood: {advice}", path.display()))
        })
    }

    pub fn mode(&self) -> &str {
        &self.mode
    }

    /// Writes a record and the files from before it, or removes all of it; what was there is returned.
    pub fn save(instance: &Instance, new: Option<(&Record, &Files)>) -> Result<Former, Trouble> {
        let names = [RECORD, FORMER_MAIN, FORMER_MASTER];
        let former = Former(names.map(|name| (name, fs::read(instance.path(name)).ok())).into());
        let wanted = match new {
            Some((record, base)) => {
                let text = serde_json::to_vec_pretty(record)
                    .map_err(|error| Trouble::new(exit::SOFTWARE, error.to_string()))?;
                // The record last: with it, the files it speaks of are there.
                vec![
                    (FORMER_MAIN, Some(base.main.clone())),
                    (FORMER_MASTER, Some(base.master.clone())),
                    (RECORD, Some(text)),
                ]
            }
            None => names.map(|name| (name, None)).into(),
        };
        match Former(wanted).bring_back(instance) {
            Ok(()) => Ok(former),
            Err(trouble) => {
                // Half a record is worse than the one from before.
                former.bring_back(instance)?;
                Err(trouble)
            }
        }
    }

    /// The files without our settings: the former ones if nobody else has touched them since, else the present
    /// ones less what is ours, and notes about it.
    pub fn without_us(&self, instance: &Instance, now: &Files) -> Result<(Files, Vec<String>), Trouble> {
        let former = |name, content: &[u8], [before, after]: &[String; 2]| {
            let backup = fs::read(instance.path(name)).ok().filter(|backup| hash(backup) == *before);
            backup.filter(|_| hash(content) == *after)
        };
        let main = former(FORMER_MAIN, &now.main, &self.main);
        let master = former(FORMER_MASTER, &now.master, &self.master);
        if let (Some(main), Some(master)) = (&main, &master) {
            return Ok((Files { main: main.clone(), master: master.clone() }, Vec::new()));
        }
        let mut notes = Vec::new();
        for (name, untouched) in [("main.cf", main.is_some()), ("master.cf", master.is_some())] {
            if !untouched {
                notes.push(format!("{name} was edited since: only Sekisho's settings are removed from it"));
            }
        }
        let present = instance.present(now)?;
        let touched = |place: &Place| if place.service().is_some() { master.is_none() } else { main.is_none() };
        let made = self.settings.iter().filter(|made| touched(&made.setting.place));
        let commands: Vec<_> = made.filter_map(|made| made.removal(&present, self, &mut notes)).collect();
        let edited = instance.edit(now, &commands)?;
        Ok((Files { main: main.unwrap_or(edited.main), master: master.unwrap_or(edited.master) }, notes))
    }

    /// Whether a service of `master.cf` exists only since us.
    fn added(&self, service: &str) -> bool {
        let is = |made: &&Made| matches!(&made.setting.place, Place::Service(key) if key == service);
        self.settings.iter().find(is).is_some_and(|made| made.former.is_none())
    }
}

impl Made {
    /// The postconf(1) call that takes the setting out, if one is needed.
    fn removal(&self, present: &Present, record: &Record, notes: &mut Vec<String>) -> Option<Vec<String>> {
        let place = &self.setting.place;
        let now = present.value(place)?;
        if matches!(place, Place::Parameter(service, _) if record.added(service)) {
            // Goes with its service.
            return None;
        }
        if let Some(member) = &self.setting.member {
            let rest = modes::without(now, member);
            return match (rest.is_empty(), &self.former) {
                (true, None) => Some(place.removal()),
                _ => Some(place.command(&rest)),
            };
        }
        if now != self.setting.value && !place.is_service() {
            notes.push(format!("{place} was changed since to `{now}`: it is left so"));
            return None;
        }
        match &self.former {
            None => Some(place.removal()),
            Some(former) if former != now => Some(place.command(former)),
            Some(_) => None,
        }
    }
}

impl Former {
    /// Makes the files what they were.
    pub fn bring_back(&self, instance: &Instance) -> Result<(), Trouble> {
        for (name, content) in &self.0 {
            match content {
                Some(content) => instance.replace(name, content)?,
                None => match fs::remove_file(instance.path(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Trouble::file(&instance.path(name), &error));
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }
}

fn hash(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}
