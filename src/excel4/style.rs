//! Formats of cells in which nothing can be seen: letters in the colour of the cell, number formats that show nothing.
//! Fonts, fills, number formats and their combinations ([MS-XLS] 2.4.122, 2.4.126, 2.4.353; [MS-XLSB] 2.4.656 and after;
//! ECMA-376 part 1, 18.8). Palettes, themes other than their background, and styles by condition are left out.

use std::collections::HashSet;

use crate::formats::biff12;
use crate::formats::markup::{self, Token};
use crate::lure::decode_xml;
use crate::reader::Reader;

/// Formats that are read: Excel has 65,490.
const MAX_FORMATS: usize = 66_000;

/// A colour, white in every spelling being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Rgb(u32),
    Indexed(u32),
    Other,
}

const WHITE: Colour = Colour::Rgb(0x00FF_FFFF);

impl Colour {
    fn rgb(value: u32) -> Self {
        Self::Rgb(value & 0x00FF_FFFF)
    }

    /// [MS-XLS] 2.5.161: 1 and 9 are white, 65 is what stands behind a window's text.
    fn indexed(number: u32) -> Self {
        if matches!(number, 1 | 9 | 65) { WHITE } else { Self::Indexed(number) }
    }

    /// The first of a theme is its background.
    fn theme(number: u32) -> Self {
        if number == 0 { WHITE } else { Self::Other }
    }
}

/// The formats of a workbook, as they are read.
#[derive(Debug, Default)]
pub struct Styles {
    fonts: Vec<Colour>,
    /// What fills a cell in one colour; [`WHITE`] where nothing does.
    fills: Vec<Colour>,
    /// Number formats that show nothing.
    blank: HashSet<u32>,
    cells: Vec<Option<&'static str>>,
}

impl Styles {
    /// Why nothing is seen in a cell of this format, if so.
    pub fn unseen(&self, format: usize) -> Option<&'static str> {
        self.cells.get(format).copied().flatten()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn font(&mut self, colour: Colour) {
        if self.fonts.len() < MAX_FORMATS {
            self.fonts.push(colour);
        }
    }

    fn fill(&mut self, colour: Colour) {
        if self.fills.len() < MAX_FORMATS {
            self.fills.push(colour);
        }
    }

    fn number_format(&mut self, number: u32, code: &str) {
        if code.trim().trim_matches('"') == ";;;" && self.blank.len() < MAX_FORMATS {
            self.blank.insert(number);
        }
    }

    fn cell(&mut self, font: Option<Colour>, number_format: u32, fill: Colour) {
        let why = if self.blank.contains(&number_format) {
            Some("a number format that shows nothing")
        } else {
            (font == Some(fill) && fill != Colour::Other).then_some("letters in the colour of the cell")
        };
        if self.cells.len() < MAX_FORMATS {
            self.cells.push(why);
        }
    }

    /// A FONT record of Excel 5 to 2003.
    pub fn biff_font(&mut self, data: &[u8]) {
        let colour = Reader::at(data, 4).and_then(|mut reader| reader.u16());
        self.font(colour.map_or(Colour::Other, |number| Colour::indexed(number.into())));
    }

    /// A FORMAT record: its number, and its code behind a count.
    pub fn biff_format(&mut self, data: &[u8]) {
        let Some(number) = Reader::new(data).u16() else { return };
        // Whatever stands in front of the code, and how wide it is.
        let code: String = data.get(2..).unwrap_or_default().iter().copied().map(char::from).collect();
        let code: String = code.chars().filter(|c| !c.is_control()).collect();
        self.number_format(number.into(), &code);
    }

    /// An XF record of Excel 5 (`is_old`) to 2003.
    pub fn biff_cell(&mut self, data: &[u8], is_old: bool) {
        let read = || {
            let mut reader = Reader::new(data);
            let (font, number_format) = (usize::from(reader.u16()?), reader.u16()?);
            let (pattern, colours) = if is_old {
                let mut reader = Reader::at(data, 8)?;
                let colours = reader.u16()?;
                (u32::from(reader.u16()? & 0x3F), colours)
            } else {
                let mut reader = Reader::at(data, 14)?;
                (reader.u32()? >> 26, reader.u16()?)
            };
            // There is no font 4.
            let font = self.fonts.get(if font > 4 { font.saturating_sub(1) } else { font }).copied();
            let fill = match pattern {
                0 => WHITE,
                1 => Colour::indexed(u32::from(colours & 0x7F)),
                _ => Colour::Other,
            };
            Some((font, u32::from(number_format), fill))
        };
        let (font, number_format, fill) = read().unwrap_or((None, 0, Colour::Other));
        self.cell(font, number_format, fill);
    }

    /// The part of a package that has the formats, in XML; nothing if it is another one.
    pub fn xml(content: &[u8]) -> Self {
        let mut styles = Self::default();
        if super::sheet_xml::root(content).is_none_or(|root| root != "styleSheet") {
            return styles;
        }
        let text = decode_xml(content);
        let mut within = "";
        let mut fill = Colour::Other;
        for token in markup::tokens(&text) {
            let (name, attributes) = match token {
                Token::Open(name, attributes) => (name, attributes),
                Token::Close(name @ ("fonts" | "fills" | "cellXfs" | "dxfs")) => {
                    within = if name == within { "" } else { within };
                    continue;
                }
                Token::Close("fill") if within == "fills" => {
                    styles.fill(fill);
                    continue;
                }
                Token::Close(_) | Token::Text(_) => continue,
            };
            let number = |name| markup::attribute(attributes, name).and_then(|value| value.trim().parse::<u32>().ok());
            match (name, within) {
                ("fonts" | "fills" | "cellXfs" | "dxfs", _) => within = name,
                ("numFmt", _) => {
                    let code = markup::attribute(attributes, "formatCode").unwrap_or_default();
                    styles.number_format(number("numFmtId").unwrap_or_default(), &code);
                }
                ("font", "fonts") => styles.font(Colour::Other),
                ("color", "fonts") => {
                    if let Some(last) = styles.fonts.last_mut() {
                        *last = colour(attributes);
                    }
                }
                ("fill", "fills") => fill = WHITE,
                ("patternFill", "fills") => {
                    let kind = markup::attribute(attributes, "patternType").unwrap_or_default();
                    fill = if matches!(kind.as_ref(), "" | "none") { WHITE } else { Colour::Other };
                }
                ("fgColor", "fills") if fill != WHITE => fill = colour(attributes),
                ("xf", "cellXfs") => {
                    let at = |list: &[Colour], name| {
                        list.get(number(name).and_then(|at| usize::try_from(at).ok()).unwrap_or(0)).copied()
                    };
                    let (font, fill) = (at(&styles.fonts, "fontId"), at(&styles.fills, "fillId").unwrap_or(WHITE));
                    styles.cell(font, number("numFmtId").unwrap_or_default(), fill);
                }
                _ => {}
            }
        }
        styles
    }

    /// The same in records; nothing if the part is another one.
    pub fn binary(content: &[u8]) -> Self {
        const BEGIN: u32 = 278;
        const FONT: u32 = 43;
        const FORMAT: u32 = 44;
        const FILL: u32 = 45;
        const CELL: u32 = 47;
        const BEGIN_CELLS: u32 = 617;
        const END_CELLS: u32 = 618;
        let mut styles = Self::default();
        if biff12::records(content).next().is_none_or(|(id, _)| id != BEGIN) {
            return styles;
        }
        let mut is_cell = false;
        for (id, data) in biff12::records(content) {
            let mut reader = Reader::new(data);
            match id {
                FORMAT => {
                    if let (Some(number), Some(code)) = (reader.u16(), biff12::wide(&mut reader)) {
                        styles.number_format(number.into(), &code);
                    }
                }
                FONT => styles.font(binary_colour(data, 12).unwrap_or(Colour::Other)),
                FILL => {
                    styles.fill(match reader.u32() {
                        Some(0) => WHITE,
                        Some(1) => binary_colour(data, 4).unwrap_or(Colour::Other),
                        _ => Colour::Other,
                    });
                }
                BEGIN_CELLS | END_CELLS => is_cell = id == BEGIN_CELLS,
                CELL if is_cell => {
                    let fields = [(); 4].map(|()| reader.u16().unwrap_or_default());
                    let [_, number_format, font, fill] = fields;
                    let font = styles.fonts.get(usize::from(font)).copied();
                    let fill = styles.fills.get(usize::from(fill)).copied().unwrap_or(WHITE);
                    styles.cell(font, number_format.into(), fill);
                }
                _ => {}
            }
        }
        styles
    }
}

/// ECMA-376 part 1, 18.8.3.
fn colour(attributes: &str) -> Colour {
    let value = |name| markup::attribute(attributes, name);
    let number = |name| value(name).and_then(|value| value.trim().parse::<u32>().ok());
    if let Some(rgb) = value("rgb").and_then(|value| u32::from_str_radix(value.trim(), 16).ok()) {
        return Colour::rgb(rgb);
    }
    if let Some(indexed) = number("indexed") {
        return Colour::indexed(indexed);
    }
    let is_plain = value("tint").is_none_or(|tint| tint.trim().parse::<f64>().is_ok_and(|tint| tint == 0.0));
    number("theme").filter(|_| is_plain).map_or(Colour::Other, Colour::theme)
}

/// [MS-XLSB] 2.5.14: what kind, a number, a tint, red, green and blue.
fn binary_colour(data: &[u8], at: usize) -> Option<Colour> {
    let mut reader = Reader::at(data, at)?;
    let (kind, index, tint) = (reader.u8()? >> 1, reader.u8()?, reader.u16()?);
    let (red, green, blue) = (reader.u8()?, reader.u8()?, reader.u8()?);
    Some(match kind {
        1 => Colour::indexed(index.into()),
        2 => Colour::rgb(u32::from_be_bytes([0, red, green, blue])),
        3 if tint == 0 => Colour::theme(index.into()),
        _ => Colour::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(fonts: &str, fills: &str, cells: &str) -> Vec<bool> {
        let xml = format!(
            "<styleSheet><numFmts><numFmt numFmtId='164' formatCode=';;;'/><numFmt numFmtId='165' formatCode='0;;;@'/></numFmts>\
             <fonts>{fonts}</fonts><fills>{fills}</fills><cellStyleXfs><xf fontId='1'/></cellStyleXfs><cellXfs>{cells}</cellXfs>\
             <dxfs><dxf><font><color rgb='FFFFFFFF'/></font></dxf></dxfs></styleSheet>"
        );
        let styles = Styles::xml(xml.as_bytes());
        (0..styles.cells.len()).map(|format| styles.unseen(format).is_some()).collect()
    }

    #[test]
    fn white_on_white_and_formats_of_nothing_are_unseen() {
        let fonts = "<font><color theme='1'/></font><font><sz val='1'/><color rgb='FFFFFFFF'/></font><font><color theme='0'/></font>\
                     <font><color indexed='9'/></font><font/><font><color theme='0' tint='-0.5'/></font>";
        let fills = "<fill><patternFill patternType='none'/></fill>\
                     <fill><patternFill patternType='solid'><fgColor rgb='FF000080'/></patternFill></fill>";
        let cells = "<xf fontId='0' numFmtId='0'/><xf fontId='1'/><xf fontId='2' fillId='0'/><xf fontId='3'/><xf fontId='4'/>\
                     <xf fontId='5'/><xf fontId='1' fillId='1'/><xf fontId='0' numFmtId='164'/><xf fontId='0' numFmtId='165'/>";
        let expected = [false, true, true, true, false, false, false, true, false];
        assert_eq!(unseen(fonts, fills, cells), expected);
        assert!(unseen("", "", "").is_empty());
        assert!(Styles::xml(b"<sst/>").cells.is_empty() && Styles::binary(b"\x9f\x01\0").cells.is_empty());
    }

    #[test]
    fn old_records_are_read_alike() {
        let mut styles = Styles::default();
        for icv in [0x7FFF_u16, 9, 9, 9, 8] {
            styles.biff_font(&[&[200, 0, 0, 0][..], &icv.to_le_bytes(), &[0; 8]].concat());
        }
        styles.biff_format(b"\xA4\0\x03\0\0;;;");
        let cell = |font: u16, format: u16, pattern: u32, fore: u16| {
            let fill = [&[0; 10][..], &(pattern << 26).to_le_bytes(), &fore.to_le_bytes()].concat();
            [&font.to_le_bytes()[..], &format.to_le_bytes(), &fill].concat()
        };
        // The fifth font has the number 5.
        for (font, format, pattern, fore) in
            [(0, 0, 0, 0), (1, 0, 0, 0), (5, 0, 0, 0), (5, 0, 1, 8), (1, 0, 1, 8), (0, 0xA4, 0, 0), (1, 0, 2, 8)]
        {
            styles.biff_cell(&cell(font, format, pattern, fore), false);
        }
        let found: Vec<bool> = (0..7).map(|n| styles.unseen(n).is_some()).collect();
        assert_eq!(found, [false, true, false, true, false, true, false]);
    }
}
