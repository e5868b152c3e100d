//! The policy: facts in, one decision per recipient out.
//!
//! Rules are read from top to bottom; the first that applies decides. Around the administrator's
//! rules stand built-in ones, whose names are in parentheses:
//!
//! 1. `(fault)`, before all others, unless `on_error = "pass"`: what the scanner failed at must not
//!    be let through by a rule that was written for something else, so no other rule is asked.
//! 2. The rules of the configuration file.
//! 3. `(malicious)`, `(suspicious)`, `(not-inspected)`: quarantine. `(encrypted)`: tag. `(fault)` with
//!    `on_error = "pass"`: pass, after what was seen nevertheless has been judged. `(default)`: pass.
//!
//! Before any rule is asked, `[[allow]]` ([`allow`]) takes out the findings that somebody has approved.
//!
//! Deciding is pure: no clock, no network, no files.

use std::cell::OnceCell;

use jiff::Timestamp;

use crate::config::OnError;
use crate::envelope::Path;
use crate::finding::Reason;
use crate::policy::allow::Allow;
use crate::policy::decision::{Action, Decision, Marks, Step};
use crate::policy::facts::Facts;
use crate::policy::parts::Parts;
use crate::policy::rule::{Rule, When};
use crate::verdict::Level;

pub mod allow;
pub mod decision;
pub mod direction;
pub mod facts;
pub mod glob;
pub mod parts;
pub mod rule;

pub use direction::direction;

/// The rules in force: the administrator's, and the built-in ones around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    on_error: OnError,
    allows: Vec<Allow>,
    /// Every rule in the order in which they are looked at; the last one has no condition.
    chain: Vec<Rule>,
}

impl Policy {
    /// The policy that consists of these rules and the built-in ones.
    pub fn new(rules: Vec<Rule>, on_error: OnError) -> Self {
        let mut chain = Vec::new();
        if on_error != OnError::Pass {
            chain.push(fault_rule(on_error));
        }
        chain.extend(rules);
        chain.extend(built_in_rules());
        if on_error == OnError::Pass {
            chain.push(fault_rule(on_error));
        }
        chain.push(built_in("(default)", When::default(), Action::Pass));
        Self { on_error, allows: Vec::new(), chain }
    }

    /// The same policy with these exceptions.
    #[must_use]
    pub fn with_allows(self, allows: Vec<Allow>) -> Self {
        Self { allows, ..self }
    }

    /// The exceptions of the configuration file, in its order.
    pub fn allows(&self) -> &[Allow] {
        &self.allows
    }

    /// The rules of the configuration file, in its order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.chain.iter().filter(|rule| !rule.name.starts_with('('))
    }

    /// Every rule in the order in which they are looked at.
    pub fn chain(&self) -> &[Rule] {
        &self.chain
    }

    /// The names of all rules, built-in ones too.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(|rule| rule.name.as_str())
    }

    /// What happens when the scanner fails.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The same rules with another `on_error`: quarantine, for a content that failed too often.
    #[must_use]
    pub fn with_on_error(&self, on_error: OnError) -> Self {
        Self::new(self.rules().cloned().collect(), on_error).with_allows(self.allows.clone())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Vec::new(), OnError::default())
    }
}

/// Decides for one recipient.
///
/// `now` is for rules that end one day; none can yet.
pub fn decide(facts: &Facts, recipient: &Path, policy: &Policy, now: Timestamp) -> Decision {
    Deciding::new(facts, policy).decide(recipient, now)
}

/// Decides for every recipient, in their order; what does not depend on the recipient is looked
/// at once.
pub fn decide_each(facts: &Facts, recipients: &[Path], policy: &Policy, now: Timestamp) -> Vec<Decision> {
    let deciding = Deciding::new(facts, policy);
    recipients.iter().map(|recipient| deciding.decide(recipient, now)).collect()
}

/// What a rule looks at.
pub struct Case<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The sender's address, lower case; empty for the null sender.
    pub sender: &'a str,
    /// The recipient's address, lower case.
    pub recipient: &'a str,
}

struct Deciding<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    sender: String,
    parts: Parts<'a>,
    /// What each rule of the chain says of the parts, once asked.
    looked: Vec<OnceCell<Result<(), String>>>,
}

impl<'a> Deciding<'a> {
    fn new(facts: &'a Facts, policy: &'a Policy) -> Self {
        Self {
            facts,
            policy,
            sender: facts.sender.address(),
            parts: Parts::new(facts),
            looked: vec![OnceCell::new(); policy.chain.len()],
        }
    }

    fn decide(&self, recipient: &Path, _now: Timestamp) -> Decision {
        let recipient = recipient.address();
        let case = Case { facts: self.facts, sender: &self.sender, recipient: &recipient };
        let mut trace = Vec::new();
        for (rule, looked) in self.policy.chain.iter().zip(&self.looked) {
            let applies = rule.applies(&case).and_then(|()| looked.get_or_init(|| self.parts.allow(rule)).clone());
            let matched = applies.is_ok();
            trace.push(Step { rule: rule.name.clone(), matched, why: applies.err().unwrap_or_default() });
            if matched {
                return Decision {
                    action: self.action(rule),
                    marks: filled_in(rule, self.facts),
                    copy_to: rule.copy_to.clone(),
                    rule: rule.name.clone(),
                    line: rule.line,
                    trace,
                };
            }
        }
        // `Policy::new` ends every chain with a rule without conditions; should that ever change,
        // nothing is delivered by accident.
        Decision {
            action: Action::Defer,
            marks: Marks::default(),
            copy_to: Vec::new(),
            rule: "(none)".to_owned(),
            line: None,
            trace,
        }
    }

    /// The rule's action; of a strip with the parts that the rule means.
    fn action(&self, rule: &Rule) -> Action {
        match &rule.action {
            Action::Strip { .. } => Action::Strip { parts: self.parts.meant(rule) },
            action => action.clone(),
        }
    }
}

/// The rule's marks with everything known here in the place of `{verdict}` and `{rule}`.
fn filled_in(rule: &Rule, facts: &Facts) -> Marks {
    let fill = |text: &String| text.replace("{verdict}", facts.verdict.name()).replace("{rule}", &rule.name);
    let Marks { headers, subject_prefix } = &rule.marks;
    Marks {
        headers: headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
        subject_prefix: subject_prefix.as_ref().map(fill),
    }
}

fn fault_rule(on_error: OnError) -> Rule {
    let action = match on_error {
        OnError::Defer => Action::Defer,
        OnError::Quarantine => Action::Quarantine,
        OnError::Pass => Action::Pass,
    };
    built_in("(fault)", When { reason: vec![Reason::Fault], ..When::default() }, action)
}

fn built_in_rules() -> [Rule; 4] {
    let verdict = |level| When { verdict: Some(level), ..When::default() };
    let reason = |reasons: &[Reason]| When { reason: reasons.to_vec(), ..When::default() };
    // An encrypted attachment without a password in the mail is a daily habit in Japan: delivered,
    // but nobody shall believe that it was looked into.
    let encrypted = Marks {
        headers: vec![("X-Sekisho-Warning".to_owned(), "an attachment is encrypted and was not inspected".to_owned())],
        subject_prefix: None,
    };
    [
        built_in("(malicious)", verdict(Level::Malicious), Action::Quarantine),
        built_in("(suspicious)", verdict(Level::Suspicious), Action::Quarantine),
        built_in(
            "(not-inspected)",
            reason(&[Reason::Limit, Reason::Damaged, Reason::Unsupported, Reason::EncryptedDespitePassword]),
            Action::Quarantine,
        ),
        Rule { marks: encrypted, ..built_in("(encrypted)", reason(&[Reason::Encrypted]), Action::Tag) },
    ]
}

fn built_in(name: &str, when: When, action: Action) -> Rule {
    let (not, marks, copy_to) = (When::default(), Marks::default(), Vec::new());
    Rule { name: name.to_owned(), line: None, when, not, action, marks, copy_to }
}
