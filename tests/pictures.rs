//! Pictures are read by a program that may hang, flood, crash or be missing, and a wave of one picture is read once.

use std::ffi::OsString;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::{GrayImage, ImageFormat, Luma};
use sekisho::asks::{Oracle, Oracles, Silence};
use sekisho::formats::picture::grey;
use sekisho::knowledge::{Answer, Knowledge, Said};
use sekisho::limits::Limits;
use sekisho::metrics::Metrics;
use sekisho::ocr::Tesseract;
use sekisho::part::PartPath;
use sekisho::scan::{Ask, Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};
use tokio::time::{Instant, timeout};

use crate::common::carriers::package;
use crate::common::daemon::program;
use crate::common::office::{Module, ModuleKind, vba_project};
use crate::common::require_tool;

const WORD_MACROS: &str = "application/vnd.ms-word.document.macroEnabled.main+xml";
const HONEST: Module<'_> = ("Module1", "Sub Hello()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);

/// Letters of five by seven pixels, as rows of bits.
const LETTERS: [(char, [u8; 7]); 9] = [
    ('A', [14, 17, 17, 31, 17, 17, 17]),
    ('B', [30, 17, 17, 30, 17, 17, 30]),
    ('C', [14, 17, 16, 16, 16, 17, 14]),
    ('E', [31, 16, 16, 30, 16, 16, 31]),
    ('L', [16, 16, 16, 16, 16, 16, 31]),
    ('N', [17, 25, 21, 21, 19, 17, 17]),
    ('O', [14, 17, 17, 17, 17, 17, 14]),
    ('T', [31, 4, 4, 4, 4, 4, 4]),
    (' ', [0; 7]),
];

/// A picture with this text.
fn drawn(text: &str) -> Vec<u8> {
    const SCALE: u32 = 6;
    let width = (u32::try_from(text.len()).unwrap() * 6 + 10) * SCALE;
    let mut picture = GrayImage::from_pixel(width, 17 * SCALE, Luma([255]));
    for (at, letter) in text.chars().enumerate() {
        let (_, rows) = LETTERS.iter().find(|(known, _)| *known == letter).unwrap();
        for (y, x) in (0..7 * SCALE).flat_map(|y| (0..5 * SCALE).map(move |x| (y, x))) {
            if rows[(y / SCALE) as usize] >> (4 - x / SCALE) & 1 == 1 {
                let left = (u32::try_from(at).unwrap() * 6 + 5) * SCALE;
                picture.put_pixel(left + x, 5 * SCALE + y, Luma([0]));
            }
        }
    }
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

fn document(pictures: &[Vec<u8>]) -> Vec<u8> {
    let project = vba_project(&[HONEST]);
    let names: Vec<String> = (0..pictures.len()).map(|n| format!("word/media/image{n}.png")).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("word/vbaProject.bin", &project)];
    members.extend(names.iter().map(String::as_str).zip(pictures.iter().map(Vec::as_slice)));
    package(WORD_MACROS, &members)
}

fn look(document: &[u8], answers: Vec<Answer>) -> Report {
    let knowledge = Knowledge { asking: true, answers, ..Knowledge::default() };
    scan(Input::file(document.to_vec(), "x.docm"), &Limits::default(), &knowledge, &Stop::default())
}

fn evidence<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    report.findings.iter().filter(|f| f.id.as_str() == id).map(|f| f.evidence.as_str()).collect()
}

#[test]
fn what_is_read_in_a_picture_is_a_lure_and_no_verdict() {
    let document = document(&[drawn("ENABLE CONTENT")]);
    let report = look(&document, vec![]);
    assert_eq!((report.asks.len(), report.enclosures.len()), (1, 1));
    assert!(report.enclosures[0].starts_with(b"P5\n"), "a raster of our own leaves the worker, not the picture");
    let text = "Please click\n\n Enab1e C0ntent \u{1b}[2J".to_owned();
    let read = look(&document, vec![Answer { ask: report.asks[0].clone(), said: Said::Text(text) }]);
    assert_eq!(evidence(&read, "lure-enable-content"), ["enable content"]);
    assert_eq!(evidence(&read, "picture-read").len(), 1);
    assert!(read.asks.is_empty());
    let [before, after] = [&report, &read].map(|report| judge(report).level);
    assert!(after <= Level::Suspicious && before == Level::Active, "{before:?} {after:?}");
    let innocent = Answer { ask: report.asks[0].clone(), said: Said::Text("Quarterly report".to_owned()) };
    assert_eq!(evidence(&look(&document, vec![innocent]), "lure-enable-content"), Vec::<&str>::new());
}

#[test]
fn a_decoy_beside_the_lure_hides_nothing() {
    let lure = drawn("ENABLE CONTENT");
    let noise = |n: u8| {
        let mut random = fastrand::Rng::with_seed(u64::from(n));
        let picture = GrayImage::from_fn(100, 100, |_, _| Luma([random.u8(..)]));
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    };
    assert!(noise(1).len() > lure.len());
    assert_eq!(look(&document(&[noise(1), noise(2), lure.clone()]), vec![]).asks.len(), 3);
    assert_eq!(look(&document(&[noise(1), noise(2), noise(3), lure]), vec![]).asks.len(), 3, "the largest");
}

#[test]
fn what_nobody_read_is_told() {
    let mut report = look(&document(&[drawn("TEA")]), vec![]);
    report.leave_unanswered();
    assert_eq!(evidence(&report, "picture-unread"), ["nobody answered in time"]);
    assert_eq!(judge(&report).level, Level::Active);
    let damaged = look(&document(&[b"\x89PNG\r\n\x1a\n damaged".to_vec()]), vec![]);
    assert_eq!((evidence(&damaged, "picture-unread").len(), damaged.asks.len()), (1, 0));
}

struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// A program in a folder of its own; `{}` in it is that folder.
    fn new(script: &str) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        let script = script.replace("{}", fake.folder.path().to_str().unwrap());
        fs::write(fake.program(), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(fake.program(), fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("tesseract")
    }

    fn reader(&self, launcher: &[OsString]) -> Tesseract {
        Tesseract::launched_by(&self.program(), &["eng".to_owned(), "jpn".to_owned()], launcher.to_vec())
    }
}

fn behind_the_wall() -> Vec<OsString> {
    vec![program().into(), "helper".into()]
}

fn ask() -> Ask {
    Ask::ReadPicture { part: PartPath::root(), sha256: String::new(), print: None }
}

fn raster() -> Bytes {
    grey(&drawn("TEA")).unwrap().unwrap()
}

async fn said(script: &str) -> Result<String, Silence> {
    let fake = Fake::new(script);
    let reader = fake.reader(&behind_the_wall());
    timeout(Duration::from_secs(30), reader.answer(&ask(), raster()).unwrap()).await.unwrap().map(text)
}

fn text(said: Said) -> String {
    let (Said::Text(text) | Said::Learned(text)) = said;
    text
}

#[tokio::test]
async fn a_reader_that_misbehaves_costs_its_answer_only() {
    assert_eq!(said("echo \"$1 $2 $5 $6 $OMP_THREAD_LIMIT\"").await.as_deref(), Ok("- - -l eng+jpn 1\n"));
    for (script, why) in [
        ("exit 3", "it ended with exit status: 3"),
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "it said more than 65536 octets"),
        ("ulimit -v | grep -q 1048576 && ulimit -f unlimited 2>/dev/null; exit 4", "it ended with exit status: 4"),
    ] {
        assert_eq!(said(script).await, Err(Silence::Failed(why.to_owned())), "{script}");
    }
    let missing = Tesseract::launched_by(&PathBuf::from("/nowhere/tesseract"), &[], behind_the_wall());
    assert!(matches!(missing.answer(&ask(), raster()).unwrap().await, Err(Silence::Failed(_))));
    let picture = Bytes::from(drawn("TEA"));
    assert!(matches!(missing.answer(&ask(), picture).unwrap().await, Err(Silence::Failed(_))), "no raster");
}

#[tokio::test]
async fn the_bounds_of_a_reader_stand() {
    let bounds = said("echo $(ulimit -v) $(ulimit -t) $(ulimit -n) $(ulimit -f)").await;
    let words = said("ulimit -v; ulimit -t; ulimit -n; ulimit -f").await.unwrap();
    assert_eq!(words.split_whitespace().collect::<Vec<_>>(), ["1048576", "20", "64", "0"], "{bounds:?}");
}

#[tokio::test]
async fn a_reader_that_hangs_is_ended_when_nobody_waits() {
    let fake = Fake::new("echo $$ > {}/pid; exec sleep 600");
    let reader = fake.reader(&[]);
    assert!(timeout(Duration::from_secs(2), reader.answer(&ask(), raster()).unwrap()).await.is_err());
    let pid = fs::read_to_string(fake.folder.path().join("pid")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.rsplit_once(')').unwrap().1.starts_with(" Z"));
    for _ in 0..100 {
        if dead() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it runs on");
}

#[tokio::test]
async fn a_wave_of_one_picture_is_read_once() {
    let fake = Fake::new("echo x >> {}/runs; exec sleep 0.2");
    let reader: Arc<dyn Oracle> = Arc::new(fake.reader(&[]));
    let oracles = Oracles::new([reader], Arc::new(Metrics::new()));
    let raster = raster();
    for _ in 0..100 {
        let mut report = Report {
            asks: (0..10)
                .map(|n| Ask::ReadPicture { part: PartPath::root(), sha256: n.to_string(), print: None })
                .collect(),
            enclosures: vec![raster.clone(); 10],
            ..Report::default()
        };
        let answers = oracles.answer(&mut report, Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(answers.len(), 10);
    }
    assert_eq!(fs::read_to_string(fake.folder.path().join("runs")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn more_pictures_than_there_is_room_for_wait_for_nobody() {
    let fake = Fake::new("exec sleep 600");
    let reader: Arc<dyn Oracle> = Arc::new(fake.reader(&[]));
    let metrics = Arc::new(Metrics::new());
    let oracles = Oracles::new([reader], Arc::clone(&metrics));
    let picture = |n: u8| Bytes::from([&b"P5\n1 1\n255\n"[..], &[n]].concat());
    let mut report = Report {
        asks: (0..10)
            .map(|n| Ask::ReadPicture { part: PartPath::root(), sha256: n.to_string(), print: None })
            .collect(),
        enclosures: (0..10).map(picture).collect(),
        ..Report::default()
    };
    assert!(oracles.answer(&mut report, Instant::now() + Duration::from_secs(1)).await.is_empty());
    let page = metrics.render().unwrap();
    for (result, count) in [("busy", 2), ("late", 8)] {
        assert!(page.contains(&format!("sekisho_asks_total{{result=\"{result}\"}} {count}\n")), "{page}");
    }
}

#[test]
fn the_real_reader_reads_behind_the_wall() {
    if require_tool("tesseract").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.docm");
    fs::write(&path, document(&[drawn("ENABLE CONTENT")])).unwrap();
    let output = Command::new(program()).args(["scan", "--ocr", "--json"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\"lure-enable-content\""), "{text} {output:?}");
}

/// `SEKISHO_LURES=FOLDER`: how many of labelled pictures are recognised. `index.tsv` in the folder has a line for each:
/// its file, a tab, and `lure` or `picture`.
#[tokio::test]
async fn labelled_pictures_are_told_apart() {
    let (Some(folder), Some(_)) = (std::env::var_os("SEKISHO_LURES").map(PathBuf::from), require_tool("tesseract"))
    else {
        return;
    };
    let index = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let labelled: Vec<(&str, bool)> = index
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (file, label) = (fields.next()?, fields.next()?);
            let is_labelled = ["lure", "picture"].contains(&label);
            is_labelled.then_some((file, label == "lure"))
        })
        .collect();
    let languages = ["eng".to_owned(), "jpn".to_owned()];
    let reader = Tesseract::launched_by(&sekisho::ocr::installed().unwrap(), &languages, vec![]);
    let mut counts = [[0; 2]; 2];
    for pair in labelled.chunks(2) {
        let texts: Vec<_> = pair
            .iter()
            .map(|(file, _)| {
                let raster = grey(&fs::read(folder.join(file)).unwrap());
                raster.ok().flatten().and_then(|raster| reader.answer(&ask(), raster))
            })
            .map(|saying| tokio::spawn(async { Some(text(saying?.await.unwrap())) }))
            .collect();
        for ((file, is_lure), text) in pair.iter().zip(texts) {
            let text = text.await.unwrap();
            let phrase = text.as_deref().and_then(sekisho::lure::asked_in_picture);
            counts[usize::from(*is_lure)][usize::from(phrase.is_some())] += 1;
            if *is_lure != phrase.is_some() {
                println!("{file}: {phrase:?} in {text:?}");
            }
        }
    }
    let [[_, wrong], [missed, recognised]] = counts;
    let (others, lures) = (labelled.iter().filter(|(_, is_lure)| !is_lure).count(), missed + recognised);
    println!("{recognised} of {lures} lures recognised, {wrong} of {others} others taken for one");
    assert!(recognised * 100 >= lures * 95 && wrong <= 1);
}
