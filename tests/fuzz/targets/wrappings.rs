//! Targets: what mail carries files in beside MIME and archives.

use sekisho::scan::Input;

use super::examine;

/// TNEF: the signature, and the octets behind it.
pub fn tnef(data: &[u8]) {
    examine(Input::file([b"\x78\x9f\x3e\x22\x01\0", data].concat(), "winmail.dat"));
}

/// uuencode, yEnc and BinHex in a text; OpenPGP in it, too.
pub fn uu(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.txt"));
}

/// CMS behind the identifier of its type, and OpenPGP packets, by the first octet.
pub fn cms(data: &[u8]) {
    match data.split_first() {
        Some((0, packets)) => examine(Input::file(packets.to_vec(), "a.gpg")),
        Some((kind, rest)) => {
            let identifier = [b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", &[*kind][..], rest].concat();
            examine(Input::file(identifier, "smime.p7m"))
        }
        None => return,
    };
}
