//! A module's tokens as procedures and statements ([MS-VBAL] 5.2, 5.3), as far as judging needs it.
//!
//! No full parser: a statement is its tokens, blocks stay flat, and what is not understood is
//! kept as a statement all the same.

use super::token::{Kind, Token, Word};

/// A statement: its tokens without the separators. Never empty.
pub type Statement<'t, 'a> = &'t [Token<'a>];

/// The code of a module.
#[derive(Debug, Default)]
pub struct Code<'t, 'a> {
    /// Procedures in the order of the source.
    pub procedures: Vec<Procedure<'t, 'a>>,
    /// External functions that are declared ([MS-VBAL] 5.2.3.5).
    pub declares: Vec<Declare<'a>>,
    /// Statements outside of procedures: variables, constants, options.
    pub declarations: Vec<Statement<'t, 'a>>,
}

/// A Sub, Function or Property.
#[derive(Debug)]
pub struct Procedure<'t, 'a> {
    /// Its name.
    pub name: Word<'a>,
    /// The names of its parameters, in lower case.
    pub parameters: Vec<&'a str>,
    /// What it does.
    pub body: Vec<Statement<'t, 'a>>,
    /// Where it starts.
    pub line: u32,
}

/// A `Declare`d function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Declare<'a> {
    /// The name that the code uses, in lower case.
    pub name: &'a str,
    /// The library.
    pub library: &'a str,
    /// The name in the library.
    pub symbol: &'a str,
    /// Where it stands.
    pub line: u32,
}

/// Divides the tokens of a module.
pub fn parse<'t, 'a>(tokens: &'t [Token<'a>]) -> Code<'t, 'a> {
    let mut code = Code::default();
    let mut open: Option<Procedure<'t, 'a>> = None;
    for statement in statements(tokens) {
        if let Some(procedure) = header(statement) {
            // One that lacks its end is closed by the next.
            code.procedures.extend(open.replace(procedure));
        } else if is_end(statement) {
            code.procedures.extend(open.take());
        } else if let Some(procedure) = &mut open {
            procedure.body.push(statement);
        } else if let Some(declare) = declare(statement) {
            code.declares.push(declare);
        } else {
            code.declarations.push(statement);
        }
    }
    code.procedures.extend(open);
    code
}

/// The name at the start of `tokens`, if one stands there.
pub fn name<'a>(tokens: &[Token<'a>]) -> Option<Word<'a>> {
    match tokens.first()?.kind {
        Kind::Name(name) => Some(name),
        _ => None,
    }
}

/// Whether the first token is the keyword.
pub fn starts_with(tokens: &[Token<'_>], keyword: &str) -> bool {
    name(tokens).is_some_and(|name| name.lower.eq_ignore_ascii_case(keyword))
}

/// `tokens` without the first `count`.
pub fn after<'t, 'a>(tokens: &'t [Token<'a>], count: usize) -> &'t [Token<'a>] {
    tokens.get(count..).unwrap_or_default()
}

/// Statements end at line ends and colons, and at `Then` and `Else`, so that what a one-line
/// `If` does is a statement of its own.
fn statements<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = Statement<'t, 'a>> {
    let mut after_dot = false;
    tokens
        .split(move |token| {
            let is_member = std::mem::replace(&mut after_dot, matches!(token.kind, Kind::Sign('.' | '!')));
            match token.kind {
                Kind::End => true,
                Kind::Name(name) => !is_member && matches!(name.lower, "then" | "else"),
                _ => false,
            }
        })
        .filter(|statement| !statement.is_empty())
}

const MODIFIERS: [&str; 5] = ["Public", "Private", "Friend", "Global", "Static"];

fn without_modifiers<'t, 'a>(mut statement: Statement<'t, 'a>) -> Statement<'t, 'a> {
    while MODIFIERS.iter().any(|modifier| starts_with(statement, modifier)) {
        statement = after(statement, 1);
    }
    statement
}

/// `[Public] [Static] Sub Name(ByVal a As String, …)`
fn header<'t, 'a>(statement: Statement<'t, 'a>) -> Option<Procedure<'t, 'a>> {
    let statement = without_modifiers(statement);
    let rest = if ["Sub", "Function"].iter().any(|keyword| starts_with(statement, keyword)) {
        after(statement, 1)
    } else if starts_with(statement, "Property")
        && ["Get", "Let", "Set"].iter().any(|keyword| starts_with(after(statement, 1), keyword))
    {
        after(statement, 2)
    } else {
        return None;
    };
    let line = rest.first()?.line;
    Some(Procedure { name: name(rest)?, parameters: parameters(after(rest, 1)), body: Vec::new(), line })
}

fn parameters<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    const MARKS: [&str; 4] = ["byval", "byref", "optional", "paramarray"];
    let mut names = Vec::new();
    let mut expects_name = true;
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') if depth <= 1 => break,
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            _ if depth == 0 => break,
            Kind::Name(name) if expects_name && !MARKS.contains(&name.lower) => {
                names.push(name.lower);
                expects_name = false;
            }
            Kind::Sign(',') => expects_name = true,
            _ => {}
        }
    }
    names
}

fn is_end(statement: Statement<'_, '_>) -> bool {
    starts_with(statement, "End")
        && ["Sub", "Function", "Property"].iter().any(|keyword| starts_with(after(statement, 1), keyword))
}

/// `Declare PtrSafe Function Name Lib "library" Alias "symbol" (…)`
fn declare<'a>(statement: Statement<'_, 'a>) -> Option<Declare<'a>> {
    let statement = without_modifiers(statement);
    if !starts_with(statement, "Declare") {
        return None;
    }
    let line = statement.first()?.line;
    let at = statement.iter().position(|token| is_keyword(token, "Lib"))?;
    let name = name(after(statement, at.checked_sub(1)?)).unwrap_or_default();
    let text_after = |keyword: &str| {
        let at = statement.iter().position(|token| is_keyword(token, keyword))?;
        match statement.get(at.saturating_add(1))?.kind {
            Kind::Text(text) => Some(text.text),
            _ => None,
        }
    };
    let library = text_after("Lib")?;
    Some(Declare { name: name.lower, library, symbol: text_after("Alias").unwrap_or(name.text), line })
}

/// Whether the token is the keyword.
pub fn is_keyword(token: &Token<'_>, keyword: &str) -> bool {
    matches!(token.kind, Kind::Name(name) if name.lower.eq_ignore_ascii_case(keyword))
}

/// The parts of a list that stand between commas outside of parentheses.
pub fn split_list<'t, 'a>(tokens: Statement<'t, 'a>) -> impl Iterator<Item = Statement<'t, 'a>> {
    let mut depth = 0_usize;
    tokens.split(move |token| {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.kind == Kind::Sign(',')
    })
}

/// Where the equals sign of an assignment stands: behind a path whose parentheses are closed.
pub fn assignment_sign(statement: Statement<'_, '_>) -> Option<usize> {
    let mut depth = 0_usize;
    let mut previous: Option<Kind<'_>> = None;
    for (at, token) in statement.iter().enumerate() {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') => depth = depth.checked_sub(1)?,
            Kind::Sign('=') if depth == 0 => return (at > 0).then_some(at),
            Kind::Sign('.' | '!') => {}
            Kind::Name(_) if depth == 0 => {
                // Two names in a row: a call and its argument.
                if matches!(previous, Some(Kind::Name(_) | Kind::Sign(')'))) {
                    return None;
                }
            }
            _ if depth > 0 => {}
            _ => return None,
        }
        previous = Some(token.kind);
    }
    None
}

/// How many tokens of a call statement stand in front of arguments without parentheses. All of
/// them, if the arguments are in parentheses.
pub fn head_length(statement: Statement<'_, '_>) -> usize {
    let mut at = usize::from(matches!(statement.first().map(|token| token.kind), Some(Kind::Sign('.' | '!'))));
    if name(after(statement, at)).is_none() {
        return statement.len();
    }
    at = at.saturating_add(1);
    loop {
        match statement.get(at).map(|token| token.kind) {
            Some(Kind::Sign('.' | '!')) => {
                at = at.saturating_add(1);
                if name(after(statement, at)).is_some() {
                    at = at.saturating_add(1);
                }
            }
            Some(Kind::Sign('(')) => {
                let Some(end) = matching_parenthesis(statement, at) else { return statement.len() };
                match statement.get(end.saturating_add(1)).map(|token| token.kind) {
                    None => return statement.len(),
                    Some(Kind::Sign('.' | '!' | '(')) => at = end.saturating_add(1),
                    Some(_) => return at,
                }
            }
            _ => return at,
        }
    }
}

/// The position of the parenthesis that closes the one at `open`.
pub fn matching_parenthesis(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') if depth <= 1 => return Some(at),
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::token::{Source, tokens};
    use super::*;

    #[test]
    fn procedures_with_their_parameters_and_statements() {
        let source = Source::new(
            "Option Explicit\nPrivate Const C = \"c\"\nPublic Static Sub A(ByVal x As String, Optional y, ParamArray z())\n\
             If x = \"Sub\" Then Call B Else Exit Sub\nEnd Sub\nProperty Get P() As Long\nP = 1: End Property\nFunction NoEnd\nx = 1\n",
        );
        let tokens = tokens(&source);
        let code = parse(&tokens);
        let names: Vec<_> = code.procedures.iter().map(|p| (p.name.text, p.parameters.clone(), p.body.len())).collect();
        assert_eq!(names, [("A", vec!["x", "y", "z"], 3), ("P", vec![], 1), ("NoEnd", vec![], 1)]);
        assert_eq!(code.declarations.len(), 2);
    }

    #[test]
    fn declares_tell_library_and_symbol() {
        let source = Source::new(
            "Private Declare PtrSafe Function f Lib \"kernel32.dll\" Alias \"WinExec\" (ByVal a As String) As Long\nDeclare Sub Sleep Lib \"kernel32\" (ByVal ms&)",
        );
        let tokens = tokens(&source);
        let found: Vec<_> = parse(&tokens).declares.iter().map(|d| (d.name, d.library, d.symbol)).collect();
        assert_eq!(found, [("f", "kernel32.dll", "WinExec"), ("sleep", "kernel32", "Sleep")]);
    }
}
