//! Office Open XML packages, small and deterministic.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

/// A member of a package or archive.
pub struct Member<'a> {
    pub name: &'a str,
    pub bytes: Vec<u8>,
}

/// A ZIP of these members, always the same bytes.
pub fn zip(members: &[Member<'_>]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    for member in members {
        writer.start_file(member.name, options).unwrap();
        writer.write_all(&member.bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
const RELATIONSHIPS: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const VBA_RELATIONSHIP: &str = "http://schemas.microsoft.com/office/2006/relationships/vbaProject";

/// Which application a package is for.
struct Kind {
    folder: &'static str,
    main: &'static str,
    content_type: &'static str,
    macro_content_type: &'static str,
}

const WORD: Kind = Kind {
    folder: "word",
    main: "document.xml",
    content_type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    macro_content_type: "application/vnd.ms-word.document.macroEnabled.main+xml",
};

const EXCEL: Kind = Kind {
    folder: "xl",
    main: "workbook.xml",
    content_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
    macro_content_type: "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
};

/// A Word document with these paragraphs, and a macro project if there is one.
pub fn word(paragraphs: &[&str], project: Option<Vec<u8>>) -> Vec<u8> {
    let body: String = paragraphs.iter().map(|text| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")).collect();
    let document = format!(
        r#"{XML}<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>"#
    );
    package(&WORD, document, Vec::new(), project)
}

/// A workbook of one sheet with these strings, and a macro project if there is one.
pub fn workbook(strings: &[&str], project: Option<Vec<u8>>) -> Vec<u8> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let workbook = format!(
        r#"{XML}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="Sheet1" sheetId="1" r:id="rId2"/></sheets></workbook>"#
    );
    let items: String = strings.iter().map(|text| format!("<si><t>{text}</t></si>")).collect();
    let shared = format!(r#"{XML}<sst xmlns="{MAIN}" count="{0}" uniqueCount="{0}">{items}</sst>"#, strings.len());
    let rows: String =
        (0..strings.len()).map(|i| format!(r#"<row r="{0}"><c r="A{0}" t="s"><v>{i}</v></c></row>"#, i + 1)).collect();
    let sheet = format!(r#"{XML}<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>"#);
    let more = vec![
        Member { name: "xl/sharedStrings.xml", bytes: shared.into_bytes() },
        Member { name: "xl/worksheets/sheet1.xml", bytes: sheet.into_bytes() },
    ];
    package(&EXCEL, workbook, more, project)
}

fn package(kind: &Kind, main: String, more: Vec<Member<'_>>, project: Option<Vec<u8>>) -> Vec<u8> {
    let folder = kind.folder;
    let main_path = format!("{folder}/{}", kind.main);
    let project_path = format!("{folder}/vbaProject.bin");
    let rels_path = format!("{folder}/_rels/{}.rels", kind.main);
    let content_type = if project.is_some() { kind.macro_content_type } else { kind.content_type };
    let types = format!(
        concat!(
            r#"{}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">"#,
            r#"<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>"#,
            r#"<Default Extension="xml" ContentType="application/xml"/>"#,
            r#"<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/>"#,
            r#"<Override PartName="/{}" ContentType="{}"/></Types>"#
        ),
        XML, main_path, content_type
    );
    let mut members = vec![
        Member { name: "[Content_Types].xml", bytes: types.into_bytes() },
        Member {
            name: "_rels/.rels",
            bytes: relationships(&[(&format!("{OFFICE}/officeDocument"), &main_path)]).into_bytes(),
        },
        Member { name: &main_path, bytes: main.into_bytes() },
    ];
    members.extend(more);
    if let Some(project) = project {
        let rels = relationships(&[(VBA_RELATIONSHIP, "vbaProject.bin")]);
        members.push(Member { name: &rels_path, bytes: rels.into_bytes() });
        members.push(Member { name: &project_path, bytes: project });
    }
    zip(&members)
}

fn relationships(targets: &[(&str, &str)]) -> String {
    let items: String = targets
        .iter()
        .enumerate()
        .map(|(i, (kind, target))| format!(r#"<Relationship Id="rId{}" Type="{kind}" Target="{target}"/>"#, i + 1))
        .collect();
    format!(r#"{XML}<Relationships xmlns="{RELATIONSHIPS}">{items}</Relationships>"#)
}
