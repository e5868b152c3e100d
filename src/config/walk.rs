//! Walks the tables of a TOML document by tables of keys. Every error is noted with its place, and
//! the walk goes on: an administrator sees all of them at once.
//!
//! Serde would stop at the first error, and forgets places in flattened and untagged types.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::diagnostics::{Problem, Severity, did_you_mean};
use crate::config::values::{self, Wrong};

/// A key that a table may have: what drives reading, suggestions and the check of the docs.
pub struct Key<T: 'static> {
    /// The key.
    pub name: &'static str,
    /// What it takes, in words.
    pub wants: &'static str,
    /// The default as it would be written; empty if there is none.
    pub default: &'static str,
    /// One line: what it does and why the default is what it is.
    pub doc: &'static str,
    /// Reads it.
    pub(super) read: fn(&mut Walk, &Field<'_, '_>, &mut T),
}

/// A key in a file, and its value.
pub struct Field<'v, 't> {
    pub(super) name: &'v str,
    pub(super) key: Range<usize>,
    pub(super) wants: &'static str,
    pub(super) value: &'v Spanned<DeValue<'t>>,
}

impl Field<'_, '_> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }
}

/// What the walk has noted.
#[derive(Default)]
pub struct Walk {
    pub(super) problems: Vec<Problem>,
}

impl Walk {
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// How many errors came after the first `before` problems.
    pub(super) fn errors_since(&self, before: usize) -> usize {
        self.problems.iter().skip(before).filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Reads a table. `what` is how its keys are called (`key`, `condition`), `place` is where it
    /// stands (` in [limits]`); keys among `others` are read elsewhere.
    pub(super) fn table<T>(
        &mut self,
        table: &DeTable<'_>,
        keys: &[Key<T>],
        others: &[&str],
        (what, place): (&str, &str),
        target: &mut T,
    ) {
        for (name, value) in table {
            let (text, key) = (name.get_ref().as_ref(), name.span());
            if let Some(known) = keys.iter().find(|known| known.name == text) {
                (known.read)(self, &Field { name: text, key, wants: known.wants, value }, target);
            } else if !others.contains(&text) {
                let what = if is_section(value.get_ref()) { "section" } else { what };
                let names = keys.iter().map(|key| key.name).chain(others.iter().copied());
                let guess = did_you_mean(text, names);
                let problem = Problem::error(key, format!("unknown {what} `{text}`{place}")).suggest(guess);
                self.push(match guess {
                    Some(_) => problem,
                    None => match super::keys::home_of(text) {
                        Some(home) => problem.expected(format!("in {home}")),
                        None => problem,
                    },
                });
            }
        }
    }

    /// The tables of an array of tables; something else is an error.
    pub(super) fn tables<'v, 't>(
        &mut self,
        value: &'v Spanned<DeValue<'t>>,
        name: &str,
    ) -> Vec<&'v Spanned<DeValue<'t>>> {
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{name}` can stand several times");
            self.push(Problem::error(value.span(), message).expected(format!("[[{name}]]")));
            return Vec::new();
        };
        let (tables, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.get_ref().is_table());
        for other in others {
            let message = format!("`{name}` cannot be {}", type_name(other.get_ref()));
            self.push(Problem::error(other.span(), message).expected(format!("[[{name}]]")));
        }
        tables
    }

    /// The table that a key holds.
    pub(super) fn inner<'v, 't>(&mut self, field: &Field<'v, 't>) -> Option<&'v DeTable<'t>> {
        match field.value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(field),
        }
    }

    /// A string.
    pub(super) fn text<'v>(&mut self, field: &Field<'v, '_>) -> Option<&'v str> {
        match field.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(field),
        }
    }

    /// A string that `parse` takes.
    pub(super) fn parsed<T>(&mut self, field: &Field<'_, '_>, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(field)?;
        self.taken(field.span(), parse(text))
    }

    /// A string or a list of strings that `parse` takes, each with its place.
    pub(super) fn list<T>(&mut self, field: &Field<'_, '_>, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<T> {
        let items: Vec<&Spanned<DeValue<'_>>> = match field.value.get_ref() {
            DeValue::String(_) => vec![field.value],
            DeValue::Array(items) => items.iter().collect(),
            _ => {
                self.wrong_type::<()>(field);
                Vec::new()
            }
        };
        let mut list = Vec::new();
        for item in items {
            let taken = match item.get_ref() {
                DeValue::String(text) => self.taken(item.span(), parse(text)),
                other => {
                    let message = format!("`{}` takes strings, not {}", field.name, type_name(other));
                    self.push(Problem::error(item.span(), message).expected(field.wants));
                    None
                }
            };
            list.extend(taken);
        }
        list
    }

    /// As [`Walk::list`]; an empty list, which could never hold, is an error.
    pub(super) fn some<T>(&mut self, field: &Field<'_, '_>, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<T> {
        if matches!(field.value.get_ref(), DeValue::Array(items) if items.is_empty()) {
            let message = format!("`{}` is an empty list, which nothing fits", field.name);
            self.push(Problem::error(field.span(), message).expected(field.wants));
        }
        self.list(field, parse)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, field: &Field<'_, '_>) -> Option<bool> {
        match field.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(field),
        }
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&mut self, field: &Field<'_, '_>, choices: &[(&str, T)], target: &mut T) {
        if let Some(value) = self.parsed(field, |text| one_of(field.name, text, choices)) {
            *target = value;
        }
    }

    /// An integer in a range.
    pub(super) fn count<N>(&mut self, field: &Field<'_, '_>, range: RangeInclusive<N>, target: &mut N)
    where
        N: TryFrom<u64> + PartialOrd + Copy + Display,
    {
        let Some(number) = self.integer(field) else { return };
        let value = N::try_from(number).ok().filter(|value| range.contains(value));
        self.in_range(field, value, format!("{} to {}", range.start(), range.end()), target);
    }

    /// A size in a range, as an integer or with a unit.
    pub(super) fn size(&mut self, field: &Field<'_, '_>, range: RangeInclusive<u64>, target: &mut u64) {
        let octets = match field.value.get_ref() {
            DeValue::Integer(_) => self.integer(field),
            _ => self.parsed(field, values::size),
        };
        let Some(octets) = octets else { return };
        let allowed = format!("{} to {}", values::show_size(*range.start()), values::show_size(*range.end()));
        self.in_range(field, Some(octets).filter(|octets| range.contains(octets)), allowed, target);
    }

    /// A duration in a range of seconds.
    pub(super) fn duration(&mut self, field: &Field<'_, '_>, range: RangeInclusive<u64>, target: &mut Duration) {
        if let DeValue::Integer(number) = field.value.get_ref() {
            let message = format!("`{}` has no unit", field.name);
            let wrong = Problem::error(field.span(), message).expected(field.wants);
            return self.push(wrong.suggest(Some(format!("\"{}{}\"", number.as_str(), unit_of(field.wants)))));
        }
        let Some(duration) = self.parsed(field, values::duration) else { return };
        let show = |seconds| values::show_duration(Duration::from_secs(seconds));
        let allowed = format!("{} to {}", show(*range.start()), show(*range.end()));
        self.in_range(field, Some(duration).filter(|duration| range.contains(&duration.as_secs())), allowed, target);
    }

    fn integer(&mut self, field: &Field<'_, '_>) -> Option<u64> {
        let DeValue::Integer(number) = field.value.get_ref() else { return self.wrong_type(field) };
        // A negative number is out of every range.
        let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
        if value.is_none() {
            let message = format!("`{}` is out of range", field.name);
            self.push(Problem::error(field.span(), message).expected(field.wants));
        }
        value
    }

    fn in_range<T>(&mut self, field: &Field<'_, '_>, value: Option<T>, allowed: String, target: &mut T) {
        match value {
            Some(value) => *target = value,
            None => {
                self.push(Problem::error(field.span(), format!("`{}` is out of range", field.name)).expected(allowed))
            }
        }
    }

    fn taken<T>(&mut self, span: Range<usize>, result: Result<T, Wrong>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Wrong { message, expected, suggestion }) => {
                let problem = Problem::error(span, message).suggest(suggestion);
                self.push(if expected.is_empty() { problem } else { problem.expected(expected) });
                None
            }
        }
    }

    fn wrong_type<T>(&mut self, field: &Field<'_, '_>) -> Option<T> {
        let found = type_name(field.value.get_ref());
        let problem = Problem::error(field.span(), format!("`{}` cannot be {found}", field.name));
        self.push(problem.expected(field.wants));
        None
    }
}

/// The member of `choices` that `text` names.
pub(super) fn one_of<T: Copy>(key: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = || choices.iter().map(|(name, _)| *name);
    let expected = crate::policy::rule::list(names().map(|name| format!("\"{name}\"")));
    let wrong = Wrong::new(format!("unknown {key} `{text}`"), expected);
    Err(match did_you_mean(text, names()) {
        Some(name) => wrong.suggest(name),
        None => wrong,
    })
}

/// Whether it is written as `[name]` or `[[name]]`.
fn is_section(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
        _ => false,
    }
}

/// The unit in the example of what a key takes (`a duration like "30d"`), seconds if there is none.
fn unit_of(wants: &str) -> char {
    let example = wants.split('"').nth(1).unwrap_or_default();
    example.chars().last().filter(char::is_ascii_alphabetic).unwrap_or('s')
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
