//! The samples that are built into the binary, and what must come of each.

use serde::Deserialize;

/// One built-in message.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// Its name: `samples/NAME.eml`.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// The expected level.
    pub verdict: String,
    /// Whether all of it can be looked into.
    pub complete: bool,
    /// Findings that must be there.
    pub findings: Vec<String>,
    /// What the empty configuration does with it.
    pub action: String,
}

#[derive(Deserialize)]
struct Manifest {
    sample: Vec<Sample>,
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../samples/", $name, ".eml")).as_slice())),*]
    };
}

/// The messages. A test holds this list against the manifest.
const MESSAGES: &[(&str, &[u8])] = embedded![
    "plain",
    "japanese-attachment",
    "docm-autoopen",
    "xls-excel4",
    "doc-autoopen",
    "honest-workbook",
    "docx-lure",
    "forwarded-docm",
    "zip-docm",
    "rar-docm",
    "rar-told",
    "encrypted-docm",
    "encrypted-told",
    "protected-workbook",
    "winmail",
    "ppsx-hover",
    "docx-search",
    "eicar",
];

/// Every sample with its message, in the order of the demonstration.
///
/// # Errors
/// The manifest and the list of messages disagree: the binary was built from a broken tree.
pub fn all() -> Result<Vec<(Sample, &'static [u8])>, String> {
    let manifest: Manifest =
        toml::from_str(include_str!("../../../samples/manifest.toml")).map_err(|error| error.to_string())?;
    let find = |sample: Sample| {
        let message = MESSAGES.iter().find(|(name, _)| *name == sample.name).map(|(_, message)| *message);
        message
            .map(|message| (sample, message))
            .ok_or_else(|| "samples/manifest.toml names a sample that is not built in".to_owned())
    };
    let samples: Vec<_> = manifest.sample.into_iter().map(find).collect::<Result<_, _>>()?;
    if samples.len() == MESSAGES.len() {
        Ok(samples)
    } else {
        Err("a built-in sample is missing in samples/manifest.toml".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn manifest_and_messages_agree() {
        assert_eq!(super::all().unwrap().len(), super::MESSAGES.len());
    }
}
