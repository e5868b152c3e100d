//! Small RAR archives of harmless text, made with RAR 6.23: `letter.txt` and `second.txt`, of sixty lines each, and
//! `notes.doc`. The password is `infected`.

use data_encoding::BASE64;

/// Name and octets of every archive; `locked` are encrypted, `hidden` with their names.
pub fn archives() -> Vec<(&'static str, Vec<u8>)> {
    ARCHIVES.iter().map(|(name, text)| (*name, BASE64.decode(text.as_bytes()).unwrap())).collect()
}

/// The archive `name`.
pub fn archive(name: &str) -> Vec<u8> {
    archives().into_iter().find(|(of, _)| *of == name).unwrap().1
}

/// What stands in `letter.txt`.
pub fn letter() -> String {
    (0..60).map(|i| format!("Line {i}: the quarterly figures of branch {} are attached.\r\n", i * 7 % 13)).collect()
}

/// A number as RAR 5 writes it: seven bits an octet, the low ones first.
fn vint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7F {
        out.push(0x80 | (number & 0x7F) as u8);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn header(fields: &[u8]) -> Vec<u8> {
    let sized = [vint(fields.len()), fields.to_vec()].concat();
    [&crc32(&sized).to_le_bytes()[..], &sized].concat()
}

fn crc32(octets: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(octets);
    crc.sum()
}

/// RAR 5 with this file, stored.
pub fn stored5(name: &str, content: &[u8]) -> Vec<u8> {
    // A file with data behind it, a checksum, no time; stored; made on Windows.
    let size = vint(content.len());
    let start = [&[2, 2][..], &size, &[4], &size, &[0x20], &crc32(content).to_le_bytes(), &[0, 0]].concat();
    let file = [start, vint(name.len()), name.as_bytes().to_vec()].concat();
    [&b"Rar!\x1a\x07\x01\0"[..], &header(&[1, 0, 0]), &header(&file), content, &header(&[5, 0, 0])].concat()
}

/// The same in so many volumes.
pub fn volumes5(name: &str, content: &[u8], count: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = content.chunks(content.len().div_ceil(count)).collect();
    let volume = |(n, piece): (usize, &&[u8])| {
        let (is_first, is_last) = (n == 0, n + 1 == pieces.len());
        let flags = 2 | if is_first { 0 } else { 8 } | if is_last { 0 } else { 16 };
        // The last one has the checksum of all, the others that of what they hold.
        let crc = crc32(if is_last { content } else { piece }).to_le_bytes();
        let size = vint(content.len());
        let start = [&[2, flags][..], &vint(piece.len()), &[4], &size, &[0x20], &crc, &[0, 0]].concat();
        let file = [start, vint(name.len()), name.as_bytes().to_vec()].concat();
        // Volumes are told by a flag, and by their number behind the first.
        let main = if is_first { vec![1, 0, 1] } else { vec![1, 0, 3, n as u8] };
        let end = header(&[5, 0, u8::from(!is_last)]);
        [&b"Rar!\x1a\x07\x01\0"[..], &header(&main), &header(&file), piece, &end].concat()
    };
    pieces.iter().enumerate().map(volume).collect()
}

/// RAR 4 with this file, stored.
pub fn stored4(name: &str, content: &[u8]) -> Vec<u8> {
    let block = |kind: u8, flags: u16, fields: &[u8]| {
        let size = (7 + fields.len()) as u16;
        let body = [&[kind][..], &flags.to_le_bytes(), &size.to_le_bytes(), fields].concat();
        [&(crc32(&body) as u16).to_le_bytes()[..], &body].concat()
    };
    let size = (content.len() as u32).to_le_bytes();
    let times = [2, 0, 0, 0x21, 0x5B];
    let crc = crc32(content).to_le_bytes();
    let name_size = (name.len() as u16).to_le_bytes();
    // Sizes, Windows, checksum, time; version 2.0, stored; attributes.
    let file =
        [&size[..], &size, &times[..1], &crc, &times[1..], &[20, 0x30], &name_size, &[32, 0, 0, 0], name.as_bytes()];
    let file = block(0x74, 0x8000, &file.concat());
    [&b"Rar!\x1a\x07\0"[..], &block(0x73, 0, &[0; 6]), &file, content, &block(0x7B, 0x4000, &[])].concat()
}

const ARCHIVES: &[(&str, &str)] = &[
    (
        "plain5",
        "UmFyIRoHAQDz4YLrCwEFBwAGAQGAgIAAzazf8ygCAwuSAgSbG6SDAutwCvaABQEKbGV0dGVyLnR4dAoDE4zNBGvXil82yp8OASZUNEQ/VgQ+7BwPcBMy1+MvLcDOCcbd690Gax483g58yqswN67gWXCqEqFwr6IkkUkKhfioB94PHoO9unWkMPWGvOkP3tnprTT7/4cun120p/Q/OUPfTPr8c9+iG+vfnz11z3wp8+nn5d5cRCQNBCINRDIGwggNxCYPEQUHIQj46FkIMDmI+Olo2A9cJGx+ECWA1iUW+djXrti967o43rvjK9co2BBPghnevdKx4HwlgSW4IUvnhKxKIYlUceSwJRRDEohiUQxKLhevCx2VNlUfVh5XH1xHlkPrkPLYEooxiUaI8xiUYxTghavmfZsR9pDzZD7THnwH3rEo5jhVDGqOw85iUcxKPIefLZ5jQMi2PuEoAgMLiQIE5xmkgwJ2mCKHgAUBCnNlY29uZC50eHQKAxOMzQRrER2DNs2TBQEmQ0REP1YFP3YOB8gJm3+dzccDOCdbe8+4Gcw56/Dp81LDQfr2mBkK2IRYI+iOwu6tF2JQEqKFUHe3TrpLD1lrz0l30z7ffeXLp9f3bT9l+cpe/bPr8c955bwbzZ66578afPp5+X/cQLMbUKg2wXIbcKo3AWg3iFYbmFTx79kFcboG8e/pZDIAJa9FAWRViQa7Zb3TMSLpgmN0zUndMSWRFOClLpnLVuBnrZFr8FFu2NasQUsRWBNbIkQUsQUsQUsQbC6Y2TZl2ZhRnE2gUbETaYo2Qm1kSIOWIOgm5Yg5ZeCj1m8bPiKPMTfIUegnGApFWIQWwqBaoQ4nBYhBYhExOMtooPwdd1ZRAwUEAA==",
    ),
    (
        "plain4",
        "UmFyIRoHAM+QcwAADQAAAAAAAAADT3QgkC8ADgEAAJsNAAAD63AK9lK8d10dNQoApIEAAGxldHRlci50eHQAsAcyiwmVEREL1YETeg8HrgSXU/i6ungzwm1bxzATEbbzQ97S4igVzU7qQorhPiNEfcemZImSYJ/EcC94PHt3hy56Qw74bcfu9+meu2mvr8w4cvTprp8Q9uEPHXPn5ceooft9Q57bZ/k08+7t7P6uIhIGghEGohkDYQQG4hMHiIKDkIRr8LIQYHMRr8tGwHrhI2GhAlgNYlFvnY167Yveu6ON674yvXKNgQTrxnevdKR/x8JYElq8UvnhKRKIYlUceSwJRRDEohiUQxKLhevCx3VN1UfVh5XH1xHlkPrkPLYEooxiUaI8xiUYxSvFqeZ92xH2kPNkPtMefAfekSjmOFEMaI7DzmJRzEo8h58t3mNfSAdbdCCQLwAGAQAA5wwAAAN2mCKHUrx3XR01CgCkgQAAc2Vjb25kLnR4dACwF42LCZTRDQ/VgRN8CcHvgUHdfh27nBpwlyR5MwIZAcc0Z3uDSsJHrm64WF8J8IEfcfoKr1IqhLga8eF7d5dOukMPGG3P8u2mevv2hy6e31rp8w+OUPPXPr6c+PhxHHZ7bZ/s09fDv7v6yIWQ2gWI2oXIbYKg24WY3iFUbkFjX/7IKw3MNX/+NkMcBGzkQBZFWJBbtltdMyL3TCON0zYyumKNkROvE7pnJRv8Z6WRa1eEu2NKMQQsRRxNLIkQQsQQsQQsQXC6Y1juqbqoorCauKLiJrIUXITWyJEGLEGiJsWIMWSvDUmz7tiKNITbIUaYm+Ao9GIOWwoBagOwm5Yg5Yg8hN8t3mP/tMQ9ewBABwA=",
    ),
    (
        "solid5",
        "UmFyIRoHAQAJ78hvCwEFBwQGAQGAgIAAoQVvjScCAwvaAAScBKSDAv1krx2AHQEJbm90ZXMuZG9jCgMTjM0Ea4omhDbAzVc2VDM0Q/RgRN8AnB3wLAz+V+JwaCcHckeZdgQXglx2BM74aLxgTTNGJ28XAs4Kwk1QehfBpVx1osmkaJoo8BrwPj7h3289OXPp5Yfftphpn/dPDD4EZIAil/HgKAIDC98BBJsbpIMC63AK9sAdAQpsZXR0ZXIudHh0CgMTjM0Ea9eKXzZCxNz68+meGP02w8tvH77Zdds3r+vTDx5+Xbrn/MPPx21XXLp+OW2mw29e2uZaaZbYM/z4fP5f6SQRMbMIIbQIoNqEGNsEVG5BCDcwgvb2NoEKN1Cfb2fi4A0wAuD9cwHAHsoBL51reuRNeuwpXrvFO9dpcAj1sQ1vX8PVNh7HwCQtiE757nqmAOEwJsLHwCCAOEwBwmAOEwCY3r3QnQ3RBdFFkYXSQskxdKCycAggFhMApCywmAWEnYhXWys6yF1mLLQXWos2Iu2qYBoTjqEJ1BlFmhMA0JgGmLNR2qJAVxa7CygCAwugAQTnGaSDAnaYIofAHQEKc2Vjb25kLnR4dAoDE4zNBGsRHYM2QYad/+s16Z5e67VfdkWObaObHAiObH64jmxtqOd6sTB71YiDLerDW4N6r76n3Kurc7v1c24O5Vx6nv1f/3rHW6ZBNdMBSumdKd0ySpdMJVumUeN2yzK6YjO7ZhoJmoobCZyc5udHOrpjdMxCdDdEFEUTRhRJCaTFEoJpV1xdSdTdUdVdWdZCizE1oKLUTbEUYhNjdkdldmdpO03ajtUfwB13VlEDBQQA",
    ),
    (
        "solid4",
        "UmFyIRoHADvQcwgADQAAAAAAAAAmmHSAkC4AWgAAABwCAAAD/WSvHVK8d10dNQkApIEAAG5vdGVzLmRvYwCwvo+LDZUNDQz9GBE3wCcHXAmEfzf4nBoJwdSRN4wIGxMiwCPvcBopiY81PU9CSxO9r22BQvQfhZuuMpFGqs1Zoo7L1V4H1+3fbxy4d/h3Xfflldlj/cuy749wuPf4POp0kJAvANoAAACbDQAAA+twCvZSvHddHTUKAKSBAABsZXR0ZXIudHh0ALAHMov689jdf9Od4f+/fLDj6Lx/Xld29/dy44/y7x7eiuOHh+OHQV3pfQOGWWHOY/ns+fy9ZRBExswghtAig2oQY2wRUbkEINzCC08G0CFG6hOnh8LcDbAC3HcmA3A9lAJbOtbVzJrV2FK1d+U7V2luCTXTirav9PNOo+D3BAunEds+TzTAHCYE2Fj3BDAHCYA4TAHCYBL7V8oToboguiiyMLpIWSYulBZNwQwCwmAUhZYTALCT04lzsrOshdZiy0F1qLNeLtmmAaE35hCcwZRZoTANCYBpizUdqiX+AGI/dJCQLwCeAAAA5wwAAAN2mCKHUrx3XR01CgCkgQAAc2Vjb25kLnR4dACwF42L9tZ75Y4e6/VfUg1N3Ec6mhMc6nliOdTG452qxUHtVgQZbVYjWh2qvvmfUq71pzbq61oepVz5nt1f73rJWyYCayYSlZM4U7JlFSyYirZM6d9myzKyYzOzZhoJmoobCZyc5udHOrpfZMxCdDdEFEUTRhRJCaTFEoJpV1vdSdTdUdVdWdZCizE1oKLUTa8UYhNjdkdldmdpO03ajtUf/+TEPXsAQAcA",
    ),
    (
        "locked5",
        "UmFyIRoHAQDz4YLrCwEFBwAGAQGAgIAAzAQsl1kCAzywAgSbG6SDAnjgUWKAAwEKbGV0dGVyLnR4dDABAAMPJl/8BG62AHgODgjV/Awn4AbRZPTPUypXjauT+8roO6L3VTJVeMhHdG+75AcKAxOMzQRr14pfNnNrSriypo2//X56N00U2TlZxDhrFixiF3Epj/6Co/RekiPCL5YNrhqHxXh9gTVqezc/I9/XpaAdmdF9uNJwCp2es+EtvvabCKsO3uvkUvoXwQsE16en8Or1Mep2PIjUew69qOMmJGbDq50SBwqXpM1FpevfG/u79hR0n8igbK89OgDslH19vorQ1/XVrLs6MAC2njXBwvAWRqZlqq+ndPDOOf2GQNH85zkMScw43i6SEsnQoLzxVAHLCFAdtyruJS1nquUJj30K5IHitBBmB9ouqUOX6P7YKtIiuoQ+GeihfDcMb7A/hEgtFfjyZYBMgWcS9SSTWJv7DEFXpQW9ip0Rn8GxMt/uQPpDHIEi/qw/nr3rnenHNG7RgY8GW3JKkiX2oIto2yh2aXds0gaTEjlvFqMoWQIDPKACBOcZpIMCdrXzg4ADAQpzZWNvbmQudHh0MAEAAw8mX/wEbrYAeA4OCNX8DCfg3Vcd6KJhB/XafpvLHkIXY/dVMlV4yEd0b7vkBwoDE4zNBGsRHYM2/5bX/QODp+kNljWZUFj8ZfNmsJ09GwVkyLH51VyUnKw3AAFmmzlbvwqrptiQTFMIk/an73v2ROkzNTB2L2GG8c8IiAHoLHhuiB+PoiMXRrmkWox0I4bwp2xtbGxwkWqH6FR8lJAZMsXpA4Yy1PGmseg0Z/BgylT87t30L5fEo7ehsa6B2WmbRErZoQCkLtwQDSUgiMKuPqhM/lToR7+mm8NMu4FlFb690jZB76wN9uynRCCyysF0dHVZYNWPi2Vo0tHQzDCsCvwX2bQBUOUpQGYoRP1GhZvi8ZSCgK53OF81HowARUexbNc7AfwZF3DY2Lwkth95SY/7Mp0lSao3an9K/pg7q1m/n33M+qN3ErjLM1sXjZbULCP51CDSW2Z4HXdWUQMFBAA=",
    ),
    (
        "locked4",
        "UmFyIRoHAM+QcwAADQAAAAAAAACIt3QklDcAMAEAAJsNAAAD63AK9lK8d10dMwoApIEAAGxldHRlci50eHRP83N8ylhyyACwBzKLOHPIYvAfClbAB7maoeO8+FFe+bwsUe0fvXxMem/BlvACpo5YAOyurzHcHM2iKJD8ziE5c6wahnM5xreBQhYRFIRI+zl6jO3v3KRTvueSgWk6wNGHx+MpSjltpgW+Po14zcAD1xaYr+guRaDXQW+dGql8T3lSFRnngZRXq6gkV/Iu2rlkNKhHZCw1z5POEQKN6nL3P6qjnZtHXoOmInfAx7Ok8kCanCRFLN2kVAX5bmSDr2x4i/KZSYelZ2ai/PR+SSJN8kFtOZaPW8qn/nHcmFDFP8qn9MPXcXAI86JRoldNvFFXaaqTtF/eHxgt4JmV1bGmBTYun6NqDwG+ObAL0ksr/UPg0mpctPC9h9VsaW/TJ7l1rUoDsGCns9P0aa/TCjvB4xkjzbPMHkHKfdCv0yqOdCSUNwAgAQAA5wwAAAN2mCKHUrx3XR0zCgCkgQAAc2Vjb25kLnR4dE/zc3zKWHLIALAXjYumd6taJSiadugfDoZft9lildCewktfMDCWf4XgWw+NEs8zrn8nTkIjUInk3rzUvS8AE5ZZaqhoY5rtXWxaByiX9CkeSSR7HqQ9qsjKHHy4E8UJHCzlV2u6DKs46CRnURQjNEsb9/n7J4UwOvzax6CrQds37hXJtTmwI/FTYcixzedNOW3Um3qzKNvPZGcJo2lf231aUJbUrd6xxmc9CI21P6xSDi0b/SkbENJZkjB2wVFvu43w35F+nI/EpRgyAr49kgvYz8Fl2gO3akoCHOt/kv5zbLke6kk7g3jTs6lIImOhBcfBRxjHNufBgdBud1D25p6PQuihvbIUdFZ9D3eD7DMF+xUGmNuT7wKyQpO+++HmsWByMZ25egX66nHioYLEPXsAQAcA",
    ),
    (
        "hidden5",
        "UmFyIRoHAQBT7eG5IQQAAAEPeWFVYj7Vdhdn661u0jYaEVnv46OSyqQLSOWaGjGnYpJhEok/y6ezwh8R2prJ96/JcDMVwWABBqurzihnYAv5ax4xoyMFoX9pJKvP8/tMYeK0JSJPPg/fU5iamQzaJ8yhKhj+c/CvauqKLHRyXgpAa+cwQDp7LGvbhx406tlxlI+tJ/hNDMZKLex4pphxk+OO69sbK3dfx/dQCkxnw63tUYNSjOO6hm6PpP8BFn4RrQgQhBoqT+AfMOqHVwSNJjqSGUbDIFuTpHSLh0iCH4YLgIrvtX9RzTuCJj37vQ4e0WpNnXdGarBgE3TutfTpwUwd71EDbToBziWZrrwVvJnl/+XD+Te2/s5ZqwtI5Q6C7ezPy8T2DUAKvT+4uTWw3iEoDHe4KewddtXpZOZVEgZG2H5hem1Daz3LA0gLcXxFBCzpX09GV6oOLlbAkwbVVGR98tTazMdt+z91M+4WuwKgiBhMfp0WgLvvVtEmt9NI3zA5xmBhD2s4bsEY4FVSpyyqvgJIVmhJb3k09FN6DlXbOqm2Xg9wiOJQJCOoa7LWwbgfQkSKzKPATSXt4EuQSLB/bv2ns10gl61D4rXHDdTs7HPLhfYDoxKe/TAIB7IWKH59PZe1WubRks2WOkevhq3M7KGYKm/7xu+StgVbj7aQNTRWPt9vxeM5NTLlea5eXoZta1ls+yYG05n1SN4n+qDbrjCwvd0tDl3dRVnQRwwXWWLmf2zDoSLH2gzHi9PJ3BgX35fMU4NTAisxdkAWBI62ONMakq8o/6ffVU4aBglZzZdiIbnrImv59DxHEzT8dFKFZdqWCegbWbtHcRCREIxmR359JBDncRPO06E27blDtDjd77Q20WUzqaKIMtKsN/q1Z0ojOczs1yxdDPllp2oFB/yAVyBOa14iaqq78eE04UqJjEHFIeAk0AMAsCSouwerEPQdXDgCvPKG6HKfQsiM1Iz2+AsLYZQTDbq3cztHYeenxIJ4QXrT8XaZyNBQzqS9aRkOMt88pV1BdbILO8/rWgBnWcCVIPeVqr0Eq7/w7SbcVKxPiqYFIQ80JbOKb4lwO6V4+au5MHTwsAWOfvZx7GEMGNjXSuP4j5+Ep+4riY8WGQlA7eVPO3DnTG6q79u3KOWEgfX3zWmH+EeaCUzIS/A3loWLne9z5ycDihbRmQk0ssKH6+e+kyIQJy9W90Ln26EIbB7M602C8wU=",
    ),
    (
        "hidden4",
        "UmFyIRoHAM6Zc4AADQAAAAAAAAAl4oUcpy9XJBwHq4/EUaOiKkuDX73LVvEnboeN/xuQ3uYNM/gxGRuj2Lj1/2Sbdz9IVI7129IywzHYf3+Fhy2Kw+GBeYhaxCTSjtKm7PMIwMwE7HfbTvGdpkK0Jiu8WlpXlMvw+CzQLpviMMBsOdpFjddkbTNeBL3eWtc+IxX0xdLvOnJZ6TfoPCTHjuwsDZuG2zhPIwC4ovwNBz8BlefyK+LbxAp4ZDm3dRUACZsU5geGSCxHX5F38jRrtItZABviveiiel81M4PNZ6MvGl09FIpOqKP9dmLiKTl45j3ckYkCXMjLWmid3HtUC01NnXrEERJQE887op/NWpTiNkYJzQrIVnz7v1DigYf+47oLIZ1cpUlUex5NP4Ir+1jvqeAKCNN2ufiP6fw408f01Cb1mSkf949sbgCsFj1+QOayWNsJSvQlVWhh3hnyrbwzCSlbBptaro0KpQ0ALE18Xgqdiht1ydyb1Vy+1ZjuxfGce9l+LfIQpDLxJeKFHKcvVyRoN0KhJ2uAQkmGOrmr2EPHklddF2hvVlh74vNuTlGwQKha1oimMPA65jLPsNK9w6xp1wno+vxDkqUz0QC5HfH3OuMw5N5AAN+fMPuZJP80/iizNLT2Vc4uYD5mKPDbWntKD/xj5+x1DahZyAOXQKWg2cBUrIe6bj7jcYOk63lBWOIHIhht4yJibLx1uBg3v7FmnYV2OsRhFBl5XQqM+YtoSFRonJvBKss69vvSY3afW27Oa60zNGpeA6tAjKzT+PIVfaF4WjgOSzL023Yivt/97HZZ7qCM6r7gDht2G/JawS8iLcLcSj6qlR5NYRJRjsoVePLBIrGa90KBFdDFW6j87Ku/+BTeLVbpjtk/utsPJtGTcqAubXKKm/gWox5Z7NcQBtKsGWjsyNhQFORhyLPcCvgHNdDoBBP0RNNGgwILFmHWZ0qErnvAKNCmR1bFW8hYHsZbx+coOmYF9giHKJHCJeKFHKcvVySj+vS9fnFFXi5x0G7y4wv8",
    ),
    (
        "solidhidden5",
        "UmFyIRoHAQAO23rMIQQAAAEPA432gbPu5BiXCaJkbbdeeHMed0zVsxwZTsiDD65cLyJ4tUkHJRsIfvbcOcvGoK3YfUhZKC8fV2na/I9Qp+PnRJ0b1+h+AfX9VSLqMEn5cPhYx/BsKzZp29ZqJCAGya/54EyfNs+mNHjI+/6SP2cj9e68k2joCf1rCMNJ4hm0bZafE2RsjNylQKjUzbsNTLmBhZWnbxW7sicK20zxPbmv2odZasdJ+nwVvOZtaPDfca+JfOZ4hjVtbi2T/O18SKIEDJi6DnzNOibtH2U3OzoKk6+5ErELjUPz6/Fg4k3hi8372eBlZUTXKxY2V9/ahWxaqTc/FWjliQ+LnpSn3XnHmA9j84kmiUsyTsWmhNN5uh42NC8dr9SRSXuRBloWw32GHq6kNRaPIvntZtBWfH+58TpoRB/ljWgWV5woGsTiN13XyOK+DjU17pN1ugnz56iNiJ5S9JWna3dlEh6YFNFrwtoa5d/L75OXf16yoPT0CnxGmwts1Pklj7/lFbBVaxqCeTtbSfWBVITiPHZKB5V32NPpSOXyuvYnpvv3jJZKfACtenjUKvxIstX0QqfclUAwuGktWNxH+ayx6k0PrZVAyBcnhQzPxo+w1PYWoEMl3qqjqe6qdNkypjlCLhbHe2OsLF0x4PsLSml10jzvNXnwVJftBNsdj/yr6MRQUqlpd+aa01vfLYZuSqUYP8akSUqmuOmojy8ySgYlPJtZoemuWQU/9ueqCj4M8QiHUuSMGAeAT+h0Gt4ds6f56AreuWjWGktqpxaF3qe/cV11/qayulz8XouVgRTSiZAAXP6i7xqNTq2aXAJTmmO3T5LsOaUpFnX5Aa4eRDNe58UcTihhPk61QBNWuqaT3jeoLAkJaa06LfcUWzk+HWLrCg5C6xIjGxMe7TbgJwUjHi2lKfA8HUhX+2Iy/YnT2QkFiQkGotjM+sI9nT4dPCa0HsQSfKX/evGDZUdnuRyQvpVz5wqUXXnnkEcY3hU3bqVOkTGQghfKEL6wYO8bcjZmwB1vWsjJWP6Cp8dSZu268ClT5TkkRdaV64ISjCEP9pXNoLQfW4QlJOUOCiNJx+Ko608z7bK3SMOHBaPszQ3YtDjN",
    ),
    (
        "solidhidden4",
        "UmFyIRoHADrZc4gADQAAAAAAAADoBS4vsH9Ds483TcFrsAkxDCjnuqV8AvCIvqEsU4NPskxbWMNdtzV1hmmILxBCDJVxyqWzhBopzJwvIdKKUimQw1w0YgZKqBUhwJBljx7S6xLBAHQL5fwdERBk1PZcLGMh4ycJpcK3eBhKdwBjRwk7/ICiz+5kSAF5nFLpce5zAa0R4AE7Ob1MKH4F/qQHHcowKZM7TO054g5FXl5wkU2e9H6SoO9qvx1XlrEB4JiV/O1EIt9DJrBM2bQuxes4tiHCVmuVdKXXvo8bn/o1/M+59bhZ3U9KT2hJdQGcPGESyP0S8U1oFt2MzWTunxAXPFukvk1ehiNs9DSoUJbP7ehCAsK8/a6roBj7Dtams+g0F9nDgFIzE4jx24rASdlGAS+KAGb64DWY9G6y74eR1cZK+fm42rHiwZF3Rvkz0n3KcW+OaAM+bxCQaW0F4nqa31tmWn+xtulTYqnkjTU5LzACleadcqV8WXJBJ65pXxyEoslv9egedXxE8jljQ3fzEN9rs3XCuoA21ugFLi+wf0OzMd8WWhmexPFF7mKoun9Aat5r2FoYQmXQkx/hY3R9zrhVzdeLB7/YtU5L19u6uV98vYmpz1KRvMKCK11WxHKBwXhl4kXpNLde9o6tUQ9+jvvq/0t5c7LZiQdwK6Qjaxy60tDh+SBnPCqMoOUgtYFLzPhg1axyjMDJoWxSbZVZeT9Uas/wY1jX92C25D4pUTSIx2AZ4dQqwEO8ymIOI6Tg9+dYpSnsfbG0KcBG9W6mv7urU8KAb1Lyazr2//lDsgMNvAzeEsMMcLVkN4WkcXD1joA1a+VnxGy6ILRE/pOizUsbDncEfLEUcXXjFOCr4dowV9laNZVLQ/ISsGrYWiyZKugFLi+wf0OznD9DNk2SjL1GKpaw55jrhg==",
    ),
    (
        "stored5",
        "UmFyIRoHAQDz4YLrCwEFBwAGAQGAgIAAIKo2ZScCAwucBAScBKSDAv1krx2AAAEJbm90ZXMuZG9jCgMTjM0Ea4omhDZOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiBOb3RoaW5nIGJ1dCB0ZXh0LiAdd1ZRAwUEAA==",
    ),
    (
        "stored4",
        "UmFyIRoHAM+QcwAADQAAAAAAAADzE3QgkC4AHAIAABwCAAAD/WSvHVK8d10UMAkApIEAAG5vdGVzLmRvYwCwvo+LTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gTm90aGluZyBidXQgdGV4dC4gxD17AEAHAA==",
    ),
    (
        "ppmd4",
        "UmFyIRoHAM+QcwAADQAAAAAAAAB2oHQgkC8A4AAAAJsNAAAD63AK9lK8d10dNQoApIEAAGxldHRlci50eHQAsAcyi+cY/0wfOje09Ykbgk/w3szTi7gSrw17KNv3yIUK8ITCHTqUIdvLHB4bUgwr5MlwhpjA4s3Yo1aoEy4rEo4m7U8SfbysD6coXXRt+9VUNpCpvkIBqWQTCcK+6gQmfGsAhYofzDd9Hxn78uL49Oj5gJqaMo1to1XjNFrwraFQBoZmE0BpCXYN/nDEK+Nvq+M2NwlUxUKQUsjRcm2y+DI93CPD67xmYiWfNeTQAWRW9aZYiT2H2+vFtkVbYVysPqST7UrrP0CPDrtE9s2B0Kiq6j8iNORS2dWiAAC/iGf2qf/UxD17AEAHAA==",
    ),
    (
        "unicode5",
        "UmFyIRoHAQDz4YLrCwEFBwAGAQGAgIAAekIwxSsCAwujAgSbG6SDAutwCvaAAwEN6KuL5rGC5pu4LnR4dAoDE4/NBGv8+Xszz4sfASZkM0Q/VgY//AlDugoc18N+EoaUTsk3p3BDoTZvfiX7mN6Hf3WCNpVjWDBrwQqeeJ4sHhjbVALPQ8FR3t17Zy5estemcv3vlprnp9/8ufX676Z/0vznL30y7fHTaqlt17UMtdctuGfz6efl4nJgLxtAExtQGA2wBBtwGI3cAUbvAT37GYAGG8QO/Z1OAPriJwfSgiAPLjC8Z0gEF9iN+K704BN4UiAQ2P2EcTGPFeEoNh9JAJbWI6jYeUqJhCJlHH5IBEYQiYQiYQiYWARJYjgEvEwR33lVH9SJhYOIhhaCYUiZXAflgERhiJhiM7EZGkMRSkVGsMRMNcP7ETDQcRDDUEw5Ey8x+eARcrEZGkORnSCNIciYeomHImHg7r89HXdWUQMFBAA=",
    ),
    (
        "unicode4",
        "UmFyIRoHAM+QcwAADQAAAAAAAACFynQgkj8AIQEAAJsNAAAD63AK9lO8d10dMxoApIEAAOiri+axguabuC50eHQAimjLQmz4Zi4AdHh0APC9zIMJmRDQz9VBE3wJwdcCg1fhnhODThOSTHGwg4TJj0TvcCqWEbep7lgWZwn8QK/iy+NK0quhUVfhwG6/D4vd6ceWMt3nLPh/33zwyzxy+f2W/j8c8sfyX1vl65Ycvbh2FLrfYOGeeHSY+/l4+He/MBaNoAmNqAuG2AINuAvG7ACjdoCdfBtwBhu8DXw8nAHTiJwPQgiAPbDC7ZzgEi2vJ9q65wCeupEAg1P1kbzF+1fCUHUf1IBJavLQdR4TQTCETKOPyQCEwhEwhEwhEwsAhSvKASbzBGu8Ko/qRMLB1DMLQTCkTK3D8sAhMMRMMRnXkRpDEUpGg6QxEw1g/sRMNB1DMNQTDkTLzH54BDuryI0hyM6QRpDkTD6CYciYeD2uHv8gxD17AEAHAA==",
    ),
    (
        "blake5",
        "UmFyIRoHAQDz4YLrCwEFBwAGAQGAgIAAI+kzNUcCAy6jAgCbG6SDAoADAQpsZXR0ZXIudHh0IgIAUEPYKMwtB2jGRARSzFbaXW07nU4DLVEayBAQwyia/gEKAxOMzQRr14pfNs+LHwEmZDNEP1YGP/wJQ7oKHNfDfhKGlE7JN6dwQ6E2b34l+5jeh391gjaVY1gwa8EKnnieLB4Y21QCz0PBUd7de2cuXrLXpnL975aa56ff/Ln1+u+mf9L85y99Mu3x02qpbde1DLXXLbhn8+nn5eJyYC8bQBMbUBgNsAQbcBiN3AFG7wE9+xmABhvEDv2dTgD64icH0oIgDy4wvGdIBBfYjfiu9OATeFIgENj9hHExjxXhKDYfSQCW1iOo2HlKiYQiZRx+SARGEImEImEImFgESWI4BLxMEd95VR/UiYWDiIYWgmFImVwH5YBEYYiYYjOxGRpDEUpFRrDETDXD+xEw0HEQw1BMORMvMfngEXKxGRpDkZ0gjSHImHqJhyJh4O6/PR13VlEDBQQA",
    ),
];
