//! Pictures are read by a program that may hang, flood, crash or be missing, and a wave of one picture is read once.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageFormat, Luma};
use sekisho::asks::{Oracle, Oracles, Silence};
use sekisho::formats::picture::grey;
use sekisho::knowledge::{Answer, Knowledge, Said};
use sekisho::limits::Limits;
use sekisho::metrics::Metrics;
use sekisho::ocr::Tesseract;
use sekisho::part::PartPath;
use sekisho::pictures::Pictures;
use sekisho::scan::{Ask, Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};
use tokio::time::{Instant, timeout};

use crate::common::carriers::package;
use crate::common::client;
use crate::common::daemon::{Daemon, program};
use crate::common::office::Compound;
use crate::common::pictures::{HONEST, MALICIOUS, document_with, drawn, encoded, page};
use crate::common::samples::with_file;
use crate::common::sink::Sink;
use crate::common::{PATIENCE, free_port, require_tool, skip, wait_for};

fn document(pictures: &[Vec<u8>]) -> Vec<u8> {
    document_with(&HONEST, pictures)
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
        encoded(&GrayImage::from_fn(100, 100, |_, _| Luma([random.u8(..)])), ImageFormat::Png)
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
    let file = fake.folder.path().join("pid");
    let pid = || fs::read_to_string(&file).unwrap_or_default();
    let runs = async {
        while !pid().ends_with('\n') {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = reader.answer(&ask(), raster()).unwrap();
    tokio::select! {
        said = answer => panic!("it hangs: {said:?}"),
        () = runs => {}
    }
    let pid = pid();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.rsplit_once(')').unwrap().1.starts_with(" Z"));
    let ends = async {
        while !dead() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, ends).await.is_ok(), "it runs on");
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

#[test]
fn pictures_of_documents_that_are_not_active_are_not_read() {
    let picture = drawn("ENABLE CONTENT");
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
    let quiet = package(word, &[("word/media/image1.png", &picture)]);
    assert_eq!(look(&quiet, vec![]).asks, []);
    // Active without a macro: it loads its template from the internet.
    let link = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
        <Relationship Id=\"r1\" TargetMode=\"External\" Target=\"http://192.0.2.1/a.dotm\" \
        Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate\"/></Relationships>";
    let linked =
        package(word, &[("word/media/image1.png", &picture), ("word/_rels/settings.xml.rels", link.as_bytes())]);
    assert_eq!(look(&linked, vec![]).asks.len(), 1);
    // Nobody would answer.
    let silent = scan(Input::file(linked, "x.docx"), &Limits::default(), &Knowledge::default(), &Stop::default());
    assert_eq!((silent.asks, evidence(&look(&quiet, vec![]), "picture-unread").len()), (vec![], 0));
}

/// A BLIP that holds a PNG.
fn blip(picture: &[u8]) -> Vec<u8> {
    let length = u32::try_from(picture.len() + 17).unwrap().to_le_bytes();
    [&[0x00, 0x6E, 0x1E, 0xF0][..], &length, &[9; 17], picture].concat()
}

#[test]
fn pictures_are_found_in_every_kind_of_document() {
    let picture = drawn("ENABLE CONTENT");
    let pieces = blip(&picture);
    let records: Vec<Vec<u8>> = (0_u8..)
        .zip(pieces.chunks(500))
        .map(|(n, piece)| {
            let id = if n == 0 { 0x00EB_u16 } else { 0x003C };
            [&id.to_le_bytes()[..], &u16::try_from(piece.len()).unwrap().to_le_bytes(), piece].concat()
        })
        .collect();
    let compound =
        |name: &str, content: &[u8]| Compound::new().stream(name, content).project("/Macros", &[HONEST]).finish();
    let hex = data_encoding::HEXLOWER.encode(&picture);
    let rich = format!(
        "{{\\rtf1{{\\*\\template http://192.0.2.1/a.dotm}}{{\\*\\shppict{{\\pict{{\\*\\picprop{{\\sp{{\\sn a}}{{\\sv b}}}}}}\
         \\picw9{{\\*\\blipuid 00112233}}\\pngblip\n{hex}}}}}{{\\nonshppict{{\\pict\\wmetafile8 0102}}}}}}"
    );
    let mut note = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3".to_vec();
    for file in [&picture[..], b"WScript.Echo(1); var x = new ActiveXObject('a');"] {
        note.extend([0xE7, 0x16, 0xE3, 0xBD, 0x65, 0x26, 0x11, 0x45, 0xA4, 0xC4, 0x8D, 0x4D, 0x0B, 0x7A, 0x9E, 0xAC]);
        note.extend((file.len() as u64).to_le_bytes());
        note.extend([&[0; 12], file, &[0; 7]].concat());
    }
    for (what, document) in [
        ("doc", compound("/Data", &pieces)),
        ("doc, behind the text", compound("/WordDocument", &[&[0; 900], &pieces[..]].concat())),
        ("ppt", compound("/Pictures", &pieces)),
        ("xls", compound("/Workbook", &records.concat())),
        ("rtf", rich.into_bytes()),
        ("one", note),
    ] {
        let report = look(&document, vec![]);
        assert_eq!(report.asks.len(), 1, "{what}: {:?}", report.findings);
        assert_eq!(report.enclosures[0], grey(&picture).unwrap().unwrap(), "{what}");
    }
}

/// A daemon in front of a sink, whose reader of pictures is this script, or none.
fn daemon(script: Option<&Fake>) -> (Daemon, Sink) {
    let sink = Sink::start();
    let reader = script.map_or("off".to_owned(), |fake| fake.program().display().to_string());
    let tables = format!("[ocr]\nprogram = \"{reader}\"\n\n[[rule]]\nname = \"all\"\naction = \"pass\"\n");
    let daemon = Daemon::with("before-queue", free_port(), sink.port(), &tables);
    (daemon, sink)
}

/// Sends a document; the ids of what was found in it, and the verdict.
fn sent(daemon: &Daemon, number: usize, document: &[u8]) -> String {
    let sender = format!("s{number}@outside.test");
    let message = with_file("A picture", "x.docm", "application/octet-stream", document);
    let reply = client::send(daemon.port(), &sender, &["u@inside.test"], &message).unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    daemon.message_with(&format!("\"from\":\"{sender}\"")).to_string()
}

fn listed(daemon: &Daemon) -> Vec<serde_json::Value> {
    let output = daemon.command(&["pictures", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_wave_of_messages_with_one_picture_costs_one_reading() {
    let fake = Fake::new("cat > /dev/null; sleep 0.3; echo Please ENABLE CONTENT");
    let (mut daemon, _sink) = daemon(Some(&fake));
    daemon.start();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= 50 {
                        return;
                    }
                    // Each document is another one, and the picture is packed in another one's place.
                    let other = encoded(&GrayImage::from_pixel(40, 20, Luma([number as u8])), ImageFormat::Png);
                    let line = sent(&daemon, number, &document(&[drawn("ENABLE CONTENT"), other]));
                    assert!(line.contains("lure-enable-content"), "{line}");
                }
            });
        }
    });
    let count = |source: &str| daemon.metric(&format!("sekisho_pictures_total{{source=\"{source}\"}}")).unwrap();
    assert_eq!([count("read"), count("cached")], [1.0, 49.0]);
}

#[test]
fn pictures_of_malicious_documents_are_learnt_listed_and_forgotten() {
    let (mut daemon, _sink) = daemon(None);
    fs::create_dir_all(daemon.state()).unwrap();
    fs::write(daemon.state().join("pictures.sqlite"), "this is no store of pictures at all, and is told so").unwrap();
    daemon.start();
    assert!(daemon.log().contains("begun anew"), "{}", daemon.log());
    let lure = encoded(&page(1), ImageFormat::Png);
    // The same, smaller and packed by somebody else.
    let again = encoded(&imageops::resize(&page(1), 512, 384, FilterType::Triangle), ImageFormat::Jpeg);
    let line = sent(&daemon, 1, &document(std::slice::from_ref(&lure)));
    assert!(line.contains("picture-unread") && !line.contains("picture-learned"), "{line}");
    assert_eq!(listed(&daemon).len(), 0, "from malicious documents only");
    let line = sent(&daemon, 2, &document_with(&MALICIOUS, std::slice::from_ref(&lure)));
    assert!(line.contains("malicious"), "{line}");
    wait_for("the lesson", PATIENCE, || listed(&daemon).len() == 1);
    let blank = encoded(&GrayImage::from_pixel(640, 480, Luma([200])), ImageFormat::Png);
    sent(&daemon, 3, &document_with(&MALICIOUS, &[blank, again.clone()]));
    let line = sent(&daemon, 4, &document(std::slice::from_ref(&again)));
    assert!(line.contains("picture-learned") && line.contains("\"suspicious\""), "{line}");
    assert!(!sent(&daemon, 5, &document(&[encoded(&page(2), ImageFormat::Png)])).contains("picture-learned"));
    assert_eq!(listed(&daemon).len(), 1, "neither what is blank nor what is known");
    assert_eq!(daemon.metric("sekisho_pictures_learnt_total"), Some(1.0));
    daemon.kill();
    daemon.start();
    assert!(sent(&daemon, 6, &document(std::slice::from_ref(&again))).contains("picture-learned"), "after a restart");

    let id = listed(&daemon)[0]["id"].as_str().unwrap().to_owned();
    let table = String::from_utf8(daemon.command(&["pictures", "list"]).stdout).unwrap();
    assert!(table.contains(&id) && table.contains("640x480"), "{table}");
    assert!(daemon.command(&["pictures", "forget", &id]).status.success());
    assert_eq!(daemon.command(&["pictures", "forget", &id]).status.code(), Some(66));
    assert!(!sent(&daemon, 7, &document(std::slice::from_ref(&again))).contains("picture-learned"));
    sent(&daemon, 8, &document_with(&MALICIOUS, std::slice::from_ref(&lure)));
    wait_for("the lesson", PATIENCE, || listed(&daemon).len() == 1);
    assert!(daemon.command(&["pictures", "forget", "--never", &id]).status.success());
    sent(&daemon, 9, &document_with(&MALICIOUS, std::slice::from_ref(&lure)));
    assert!(!sent(&daemon, 10, &document(&[again])).contains("picture-learned"), "never again");
    assert!(daemon.command(&["pictures", "forget", "--all"]).status.success());
    assert_eq!(listed(&daemon).len(), 0);
}

#[test]
fn where_somebody_reads_only_requests_are_learnt() {
    for (script, learnt) in [("echo Example Company", 0), ("exit 1", 0), ("echo ENABLE CONTENT", 1)] {
        let fake = Fake::new(&format!("cat > /dev/null; {script}"));
        let (mut daemon, _sink) = daemon(Some(&fake));
        daemon.start();
        sent(&daemon, 1, &document_with(&MALICIOUS, &[encoded(&page(1), ImageFormat::Png)]));
        // What is not learnt soon is not learnt.
        std::thread::sleep(Duration::from_millis(500));
        wait_for(script, PATIENCE, || listed(&daemon).len() >= learnt);
        assert_eq!(listed(&daemon).len(), learnt, "{script}");
    }
}

#[tokio::test]
async fn what_was_read_in_the_very_same_picture_comes_before_all_else() {
    let fake = Fake::new("cat > /dev/null; echo x >> {}/runs; echo text");
    let metrics = Arc::new(Metrics::new());
    let pictures = Pictures::new(Some(fake.reader(&[])), None, Arc::clone(&metrics));
    for _ in 0..3 {
        assert_eq!(pictures.answer(&ask(), raster()).unwrap().await, Ok(Said::Text("text\n".to_owned())));
    }
    assert_eq!(fs::read_to_string(fake.folder.path().join("runs")).unwrap().lines().count(), 1);
    let nobody = Pictures::new(None, None, metrics);
    assert_eq!(nobody.answer(&ask(), raster()).unwrap().await, Err(Silence::Nobody));
}

#[test]
fn the_real_reader_reads_japanese() {
    let Some(tesseract) = require_tool("tesseract") else { return };
    let languages = Command::new(tesseract).arg("--list-langs").output().unwrap();
    if !String::from_utf8_lossy(&languages.stdout).lines().any(|line| line == "jpn") {
        return skip("tesseract-ocr-jpn is missing; tests/run.sh installs it");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.docm");
    fs::write(&path, document(&[include_bytes!("common/enable-content-ja.png").to_vec()])).unwrap();
    let output = Command::new(program()).args(["scan", "--ocr", "--json"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\"lure-enable-content\"") && text.contains("コンテンツの有効"), "{text} {output:?}");
}
