//! What a scan knows besides the bytes.

/// Facts from outside that analysis may use. They are values: the scan itself asks nobody.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Passwords to try on everything encrypted, beside those found in the mail's own text.
    pub passwords: Vec<String>,
}
