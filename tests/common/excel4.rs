//! Workbooks with macros of Excel 4.0, in every file format, from formulas as text.

use sekisho::excel4::expression::{Coordinate, Corner, Expression, Op, Operator, Reference};
use sekisho::excel4::formula::{self, Notation};
use sekisho::excel4::function;
use sekisho::excel4::workbook::{Place, SheetNumbers};

use super::carriers::package;
use super::office::Compound;
use super::ovba::utf16;

/// A workbook.
#[derive(Clone, Default)]
pub struct Book {
    pub sheets: Vec<Sheet>,
    /// Name, whether it is hidden, formula.
    pub names: Vec<(String, bool, String)>,
    /// How formulas look: 0 as usual, 1 white, 2 by a number format that shows nothing, 3 white on blue.
    pub look: u8,
}

/// A sheet.
#[derive(Clone)]
pub struct Sheet {
    pub name: &'static str,
    pub is_macro: bool,
    /// 0 visible, 1 hidden, 2 very hidden.
    pub state: u8,
    /// Place and content: a formula if it begins with an equals sign, else a text.
    pub cells: Vec<(String, String)>,
}

/// A workbook with a sheet of macros, which run down from A1 when it is opened.
pub fn book(macros: &[&str]) -> Book {
    let cells = macros.iter().enumerate().map(|(row, formula)| (format!("A{}", row + 1), (*formula).to_owned()));
    let sheet = |name, is_macro, cells| Sheet { name, is_macro, state: 0, cells };
    Book {
        sheets: vec![
            sheet("Sheet1", false, vec![("B2".to_owned(), "regsvr32.exe".to_owned())]),
            sheet("Macro1", true, cells.collect()),
        ],
        names: vec![("Auto_Open".to_owned(), false, "=Macro1!$A$1".to_owned())],
        look: 0,
    }
}

impl Book {
    fn numbers(&self) -> SheetNumbers {
        SheetNumbers::new(self.sheets.iter().map(|sheet| sheet.name))
    }

    fn parsed(&self, text: &str) -> Expression {
        formula::parse(text, Notation::A1, &self.numbers()).unwrap_or_else(|| panic!("{text}"))
    }

    fn tokens(&self, text: &str, version: Version) -> Vec<u8> {
        let mut out = Vec::new();
        for node in self.parsed(text).nodes() {
            self.token(&node.op, node.arguments.len(), version, &mut out);
        }
        out
    }

    fn token(&self, op: &Op, count: usize, version: Version, out: &mut Vec<u8>) {
        match op {
            Op::Number(number) => {
                out.push(0x1F);
                out.extend(number.to_le_bytes());
            }
            Op::Text(text) => {
                out.push(0x17);
                match version {
                    Version::Biff8 => out.extend([u8::try_from(text.len()).unwrap(), 0]),
                    Version::Biff5 => out.push(u8::try_from(text.len()).unwrap()),
                    Version::Biff12 => out.extend(u16::try_from(text.encode_utf16().count()).unwrap().to_le_bytes()),
                }
                match version {
                    Version::Biff12 => out.extend(utf16(text)),
                    _ => out.extend(text.bytes()),
                }
            }
            Op::Bool(value) => out.extend([0x1D, u8::from(*value)]),
            Op::Missing => out.push(0x16),
            Op::Reference(reference) => reference_token(*reference, version, out),
            Op::Name(name) => {
                let number = self.names.iter().position(|(known, ..)| known == name).unwrap() + 1;
                out.push(0x43);
                match version {
                    Version::Biff5 => {
                        out.extend(u16::try_from(number).unwrap().to_le_bytes());
                        out.extend([0; 12]);
                    }
                    _ => out.extend(u32::try_from(number).unwrap().to_le_bytes()),
                }
            }
            Op::Function(name) => call(count, id_of(name), out),
            Op::UserDefined => call(count, function::USER_DEFINED, out),
            Op::Binary(operator) => out.push(operator_token(*operator)),
            Op::Minus => out.push(0x13),
            Op::Percent => out.push(0x14),
            Op::Error | Op::Array | Op::Unknown => panic!("no token for {op:?}"),
        }
    }

    /// Excel 97 to 2003, or 5.
    pub fn xls(&self, version: Version) -> Vec<u8> {
        let name = if version == Version::Biff5 { "/Book" } else { "/Workbook" };
        Compound::new().stream(name, &self.stream(version)).finish()
    }

    /// The stream with the workbook in it.
    pub fn stream(&self, version: Version) -> Vec<u8> {
        let is_old = version == Version::Biff5;
        let number: u16 = if is_old { 0x0500 } else { 0x0600 };
        let mut sheets: Vec<Vec<u8>> = Vec::new();
        for sheet in &self.sheets {
            let kind: u16 = if sheet.is_macro { 0x0040 } else { 0x0010 };
            let mut out = record(0x0809, &[number.to_le_bytes(), kind.to_le_bytes(), [0; 2], [0; 2]].concat());
            for (place, content) in &sheet.cells {
                let Place { row, column } = formula::place(place).unwrap();
                let look = if content.starts_with('=') { self.look } else { 0 };
                let mut data = [u16::try_from(row).unwrap(), u16::try_from(column).unwrap(), look.into()]
                    .map(u16::to_le_bytes)
                    .concat();
                if content.starts_with('=') {
                    let tokens = self.tokens(content, version);
                    data.extend([0; 14]);
                    data.extend(u16::try_from(tokens.len()).unwrap().to_le_bytes());
                    data.extend(tokens);
                    out.extend(record(0x0006, &data));
                } else {
                    data.extend(u16::try_from(content.len()).unwrap().to_le_bytes());
                    if !is_old {
                        data.push(0);
                    }
                    data.extend(content.bytes());
                    out.extend(record(0x0204, &data));
                }
            }
            out.extend(record(0x000A, &[]));
            sheets.push(out);
        }
        // Where sheets begin is known once the globals are.
        let size = self.globals(version, &vec![0; sheets.len()]).len();
        let mut starts = Vec::new();
        let mut at = size;
        for sheet in &sheets {
            starts.push(u32::try_from(at).unwrap());
            at += sheet.len();
        }
        let mut stream = self.globals(version, &starts);
        stream.extend(sheets.concat());
        stream
    }

    fn globals(&self, version: Version, starts: &[u32]) -> Vec<u8> {
        let is_old = version == Version::Biff5;
        let number: u16 = if is_old { 0x0500 } else { 0x0600 };
        let mut out = record(0x0809, &[number.to_le_bytes(), 5_u16.to_le_bytes(), [0; 2], [0; 2]].concat());
        if self.look > 0 {
            out.extend(looks(is_old));
        }
        for (sheet, start) in self.sheets.iter().zip(starts) {
            let mut data = start.to_le_bytes().to_vec();
            data.extend([sheet.state, u8::from(sheet.is_macro), u8::try_from(sheet.name.len()).unwrap()]);
            if !is_old {
                data.push(0);
            }
            data.extend(sheet.name.bytes());
            out.extend(record(0x0085, &data));
        }
        let count = u16::try_from(self.sheets.len()).unwrap();
        if !is_old {
            out.extend(record(0x01AE, &[count.to_le_bytes(), [0x01, 0x04]].concat()));
            let mut data = count.to_le_bytes().to_vec();
            for sheet in 0..count {
                data.extend([0, sheet, sheet].map(u16::to_le_bytes).concat());
            }
            out.extend(record(0x0017, &data));
        }
        for (name, is_hidden, formula) in &self.names {
            let tokens = self.tokens(formula, version);
            let is_built_in = name == "Auto_Open";
            let flags = u16::from(*is_hidden) | if is_built_in { 0x0020 } else { 0 };
            let text = if is_built_in { vec![1] } else { name.bytes().collect() };
            let mut data = flags.to_le_bytes().to_vec();
            data.extend([0, u8::try_from(text.len()).unwrap()]);
            data.extend(u16::try_from(tokens.len()).unwrap().to_le_bytes());
            data.extend([0; 8]);
            if !is_old {
                data.push(0);
            }
            data.extend(text);
            data.extend(tokens);
            out.extend(record(0x0018, &data));
        }
        out.extend(record(0x000A, &[]));
        out
    }

    /// The XML of Excel 2007 and later.
    pub fn xlsm(&self) -> Vec<u8> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        let (mut sheets, mut rels, mut names) = (String::new(), String::new(), String::new());
        for (number, sheet) in self.sheets.iter().enumerate() {
            let state = ["visible", "hidden", "veryHidden"][usize::from(sheet.state)];
            sheets.push_str(&format!(
                r#"<sheet name="{}" sheetId="{number}" state="{state}" r:id="rId{number}"/>"#,
                sheet.name
            ));
            rels.push_str(&relationship(sheet, number, "xml"));
            let mut xml = String::new();
            for (place, content) in &sheet.cells {
                let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
                xml.push_str(&match content.strip_prefix('=') {
                    Some(formula) => format!(r#"<c r="{place}" s="{}"><f>{formula}</f></c>"#, self.look),
                    None => format!(r#"<c r="{place}" t="inlineStr"><is><t>{content}</t></is></c>"#),
                });
            }
            let root = if sheet.is_macro { "xm:macrosheet" } else { "worksheet" };
            let xml = format!(r#"<{root} xmlns="m"><sheetData><row r="1">{xml}</row></sheetData></{root}>"#);
            members.push((format!("xl/sheets/s{number}.xml"), xml.into_bytes()));
        }
        for (name, is_hidden, formula) in &self.names {
            let mark = if name == "Auto_Open" { "_xlnm." } else { "" };
            let formula = formula.trim_start_matches('=').replace('&', "&amp;").replace('"', "&quot;");
            names.push_str(&format!(
                r#"<definedName name="{mark}{name}" hidden="{}">{formula}</definedName>"#,
                u8::from(*is_hidden)
            ));
        }
        let book =
            format!("<workbook xmlns=\"m\"><sheets>{sheets}</sheets><definedNames>{names}</definedNames></workbook>");
        if self.look > 0 {
            members.push(("xl/styles.xml".to_owned(), LOOKS.as_bytes().to_vec()));
        }
        members.push(("xl/workbook.xml".to_owned(), book.into_bytes()));
        members.push((
            "xl/_rels/workbook.xml.rels".to_owned(),
            format!("<Relationships>{rels}</Relationships>").into_bytes(),
        ));
        packaged("application/vnd.ms-excel.sheet.macroEnabled.main+xml", &members)
    }

    /// The binary form of Excel 2007 and later.
    pub fn xlsb(&self) -> Vec<u8> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rels = String::new();
        let mut book = record_12(131, &[]);
        for (number, sheet) in self.sheets.iter().enumerate() {
            rels.push_str(&relationship(sheet, number, "bin"));
            let mut data = u32::from(sheet.state).to_le_bytes().to_vec();
            data.extend(u32::try_from(number).unwrap().to_le_bytes());
            data.extend(wide(&format!("rId{number}")));
            data.extend(wide(sheet.name));
            book.extend(record_12(156, &data));
            let mut content = record_12(129, &[]);
            for (place, text) in &sheet.cells {
                let Place { row, column } = formula::place(place).unwrap();
                content.extend(record_12(0, &row.to_le_bytes()));
                let look = if text.starts_with('=') { self.look } else { 0 };
                let mut data = [column.to_le_bytes(), u32::from(look).to_le_bytes()].concat();
                if text.starts_with('=') {
                    data.extend([0; 8]);
                    data.extend([0; 2]);
                    data.extend(counted(&self.tokens(text, Version::Biff12)));
                    content.extend(record_12(9, &data));
                } else {
                    data.extend(wide(text));
                    content.extend(record_12(6, &data));
                }
            }
            members.push((format!("xl/sheets/s{number}.bin"), content));
        }
        book.extend(record_12(357, &[]));
        let count = u32::try_from(self.sheets.len()).unwrap();
        let externs: Vec<u8> = (0..count).flat_map(|sheet| [0, sheet, sheet].map(u32::to_le_bytes).concat()).collect();
        book.extend(record_12(362, &[count.to_le_bytes().to_vec(), externs].concat()));
        for (name, is_hidden, formula) in &self.names {
            let mark = if name == "Auto_Open" { "_xlnm." } else { "" };
            let mut data = u32::from(*is_hidden).to_le_bytes().to_vec();
            data.extend([0; 5]);
            data.extend(wide(&format!("{mark}{name}")));
            data.extend(counted(&self.tokens(formula, Version::Biff12)));
            book.extend(record_12(39, &data));
        }
        if self.look > 0 {
            members.push(("xl/styles.bin".to_owned(), binary_looks()));
        }
        members.push(("xl/workbook.bin".to_owned(), book));
        members.push((
            "xl/_rels/workbook.bin.rels".to_owned(),
            format!("<Relationships>{rels}</Relationships>").into_bytes(),
        ));
        packaged("application/vnd.ms-excel.sheet.binary.macroEnabled.main", &members)
    }

    /// SYLK, which has one sheet: the macros.
    pub fn sylk(&self) -> Vec<u8> {
        let mut text = "ID;PSEKISHO\r\nO;E\r\n".to_owned();
        for (name, _, formula) in &self.names {
            let formula = formula.trim_start_matches('=').rsplit('!').next().unwrap().to_owned();
            let Place { row, column } = formula::place(&formula.replace('$', "")).unwrap();
            text.push_str(&format!("NN;N{name};ER{}C{}\r\n", row + 1, column + 1));
        }
        for (place, content) in &self.sheets.iter().find(|sheet| sheet.is_macro).unwrap().cells {
            let Place { row, column } = formula::place(place).unwrap();
            let content = content.replace(';', ";;");
            let (row, column) = (row + 1, column + 1);
            text.push_str(&match content.strip_prefix('=') {
                Some(formula) => format!("C;X{column};Y{row};K0;E{formula}\r\n"),
                None => format!("C;X{column};Y{row};K\"{content}\"\r\n"),
            });
        }
        text.push_str("E\r\n");
        text.into_bytes()
    }
}

/// The four looks in XML.
const LOOKS: &str = concat!(
    r#"<styleSheet xmlns="m"><numFmts><numFmt numFmtId="164" formatCode=";;;"/></numFmts>"#,
    r#"<fonts><font><color theme="1"/></font><font><color rgb="FFFFFFFF"/></font></fonts>"#,
    r#"<fills><fill><patternFill patternType="none"/></fill>"#,
    r#"<fill><patternFill patternType="solid"><fgColor rgb="FF0000FF"/></patternFill></fill></fills>"#,
    r#"<cellXfs><xf fontId="0" fillId="0"/><xf fontId="1" fillId="0"/><xf numFmtId="164" fontId="0" fillId="0"/>"#,
    r#"<xf fontId="1" fillId="1"/></cellXfs></styleSheet>"#,
);

/// The four looks in records of Excel 5 (`is_old`) to 2003.
fn looks(is_old: bool) -> Vec<u8> {
    let font = |colour: u16| record(0x0031, &[&[200, 0, 0, 0][..], &colour.to_le_bytes(), &[0; 8]].concat());
    let code: &[u8] = if is_old { b"\x03;;;" } else { b"\x03\0\0;;;" };
    let format = record(0x041E, &[&164_u16.to_le_bytes(), code].concat());
    let cell = |font: u16, format: u16, is_blue: bool| {
        let head = [font.to_le_bytes(), format.to_le_bytes()].concat();
        let blue = if is_blue { 12_u16 } else { 0 };
        let fill = match is_old {
            true => [&[0; 4][..], &blue.to_le_bytes(), &u16::from(is_blue).to_le_bytes(), &[0; 4]].concat(),
            false => [&[0; 10][..], &(u32::from(is_blue) << 26).to_le_bytes(), &blue.to_le_bytes()].concat(),
        };
        record(0x00E0, &[head, fill].concat())
    };
    let cells = [cell(0, 0, false), cell(1, 0, false), cell(0, 164, false), cell(1, 0, true)].concat();
    [font(0x7FFF), font(9), format, cells].concat()
}

/// The four looks in records of binary workbooks.
fn binary_looks() -> Vec<u8> {
    let rgb = |r: u8, g: u8, b: u8| [5, 0, 0, 0, r, g, b, 0xFF];
    let font = |colour: [u8; 8]| record_12(43, &[&[0; 12][..], &colour, &[0; 9]].concat());
    let fill = |pattern: u32, colour: [u8; 8]| record_12(45, &[&pattern.to_le_bytes()[..], &colour, &[0; 40]].concat());
    let cell = |format: u16, font: u16, fill: u16| {
        record_12(47, &[&[0xFF, 0xFF][..], &[format, font, fill].map(u16::to_le_bytes).concat(), &[0; 8]].concat())
    };
    let format = record_12(44, &[164_u16.to_le_bytes().to_vec(), wide(";;;")].concat());
    let fonts = [font(rgb(0, 0, 0)), font(rgb(255, 255, 255))].concat();
    let fills = [fill(0, rgb(0, 0, 0)), fill(1, rgb(0, 0, 255))].concat();
    // Styles by name have formats as well, which come first.
    let named = [record_12(626, &[]), cell(164, 1, 0), record_12(627, &[])].concat();
    let cells = [cell(0, 0, 0), cell(0, 1, 0), cell(164, 0, 0), cell(0, 1, 1)].concat();
    [record_12(278, &[]), format, fonts, fills, named, record_12(617, &[]), cells, record_12(618, &[])].concat()
}

/// A macro sheet of Excel 2, 3 or 4, which is a file of its own: it runs this command when it is opened.
pub fn bare(generation: u8, command: &str) -> Vec<u8> {
    let mut tokens = vec![0x17, u8::try_from(command.len()).unwrap()];
    tokens.extend(command.bytes());
    // EXEC, of one argument.
    tokens.extend(if generation == 4 { vec![0x42, 1, 110, 0] } else { vec![0x42, 1, 110] });
    let name = b"Auto_Open";
    let target = [0x44, 0, 0, 0];
    match generation {
        2 => {
            let size = [tokens.len() as u8];
            [
                record(0x0009, &[2, 0, 0x40, 0]),
                record(0x0018, &[&[2, 0, 0, 9, 4][..], name, &target, &[4]].concat()),
                record(0x0004, &[1, 0, 0, 0, 0, 0, 0, 5, b'H', b'e', b'l', b'l', b'o']),
                record(0x0006, &[&[0; 4 + 3 + 8 + 1][..], &size, &tokens].concat()),
                record(0x000A, &[]),
            ]
            .concat()
        }
        _ => {
            let (begin, formula) = if generation == 3 { (0x0209, 0x0206) } else { (0x0409, 0x0406) };
            let size = (tokens.len() as u16).to_le_bytes();
            [
                record(begin, &[generation, 0, 0x40, 0, 0, 0]),
                record(0x0218, &[&[2, 0, 0, 9, 4, 0][..], name, &target].concat()),
                record(formula, &[&[0; 4 + 2 + 8 + 2][..], &size, &tokens].concat()),
                record(0x000A, &[]),
            ]
            .concat()
        }
    }
}

/// The generation of binary workbooks.
pub use sekisho::excel4::ptg::Version;

fn relationship(sheet: &Sheet, number: usize, extension: &str) -> String {
    let kind = if sheet.is_macro {
        "http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet"
    } else {
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    };
    format!(r#"<Relationship Id="rId{number}" Type="{kind}" Target="sheets/s{number}.{extension}"/>"#)
}

fn packaged(main_type: &str, members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<(&str, &[u8])> =
        members.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    package(main_type, &members)
}

fn call(count: usize, id: u16, out: &mut Vec<u8>) {
    out.extend([0x42, u8::try_from(count).unwrap()]);
    out.extend(id.to_le_bytes());
}

fn id_of(name: &str) -> u16 {
    let known = |id: &u16| function::by_id(*id).is_some_and(|function| function.name == name);
    (0..0x8400).find(known).unwrap_or_else(|| panic!("{name}"))
}

fn at(coordinate: Coordinate) -> u32 {
    match coordinate {
        Coordinate::At(at) => at,
        Coordinate::By(_) => panic!("only absolute places"),
    }
}

fn reference_token(reference: Reference, version: Version, out: &mut Vec<u8>) {
    let is_cell = reference.first == reference.last;
    let sheet = reference.sheet.map(|sheet| u16::try_from(sheet).unwrap());
    out.push(match (sheet, is_cell) {
        (None, true) => 0x44,
        (None, false) => 0x45,
        (Some(_), true) => 0x5A,
        (Some(_), false) => 0x5B,
    });
    if let Some(sheet) = sheet {
        if version == Version::Biff5 {
            out.extend([0xFF, 0xFF]);
            out.extend([0; 8]);
            out.extend([sheet, sheet].map(u16::to_le_bytes).concat());
        } else {
            out.extend(sheet.to_le_bytes());
        }
    }
    let corners: Vec<Corner> = if is_cell { vec![reference.first] } else { vec![reference.first, reference.last] };
    for corner in &corners {
        match version {
            Version::Biff12 => out.extend(at(corner.row).to_le_bytes()),
            _ => out.extend(u16::try_from(at(corner.row)).unwrap().to_le_bytes()),
        }
    }
    for corner in &corners {
        match version {
            Version::Biff5 => out.push(u8::try_from(at(corner.column)).unwrap()),
            _ => out.extend(u16::try_from(at(corner.column)).unwrap().to_le_bytes()),
        }
    }
}

fn operator_token(operator: Operator) -> u8 {
    match operator {
        Operator::Add => 0x03,
        Operator::Subtract => 0x04,
        Operator::Multiply => 0x05,
        Operator::Divide => 0x06,
        Operator::Power => 0x07,
        Operator::Concat => 0x08,
        Operator::Less => 0x09,
        Operator::LessEqual => 0x0A,
        Operator::Equal => 0x0B,
        Operator::GreaterEqual => 0x0C,
        Operator::Greater => 0x0D,
        Operator::NotEqual => 0x0E,
        Operator::Intersection => 0x0F,
        Operator::Union => 0x10,
        Operator::Range => 0x11,
    }
}

fn record(id: u16, data: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes(), &u16::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
}

fn record_12(id: u32, data: &[u8]) -> Vec<u8> {
    let mut out = if id < 0x80 {
        vec![u8::try_from(id).unwrap()]
    } else {
        vec![u8::try_from(id & 0x7F).unwrap() | 0x80, u8::try_from(id >> 7).unwrap()]
    };
    let mut size = data.len();
    loop {
        let low = u8::try_from(size & 0x7F).unwrap();
        size >>= 7;
        out.push(if size > 0 { low | 0x80 } else { low });
        if size == 0 {
            break;
        }
    }
    out.extend(data);
    out
}

fn wide(text: &str) -> Vec<u8> {
    [u32::try_from(text.encode_utf16().count()).unwrap().to_le_bytes().to_vec(), utf16(text)].concat()
}

fn counted(tokens: &[u8]) -> Vec<u8> {
    [u32::try_from(tokens.len()).unwrap().to_le_bytes().to_vec(), tokens.to_vec(), vec![0; 4]].concat()
}
