//! Pictures: decoded, reduced, and found in streams.

use sekisho::formats::blip;
use sekisho::formats::picture::{is_raster, seen};
use sekisho::pictures::print::Print;

/// By the first octet: a picture file, or a stream of a binary document with pictures in it.
pub fn picture(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    if kind % 2 == 0 {
        return file(data);
    }
    let drawings = blip::drawings(data);
    assert!(drawings.len() <= data.len());
    for stream in [data, &drawings] {
        for blip in blip::find(stream).into_iter().take(4) {
            assert!(blip.octets.len() <= stream.len());
            if let Some(bytes) = blip.file() {
                file(&bytes);
            }
        }
    }
}

fn file(bytes: &[u8]) {
    let Ok(Some((raster, print))) = seen(bytes) else { return };
    assert!(is_raster(&raster));
    assert_eq!(seen(bytes), Ok(Some((raster, print.clone()))), "the same each time");
    if let Some(print) = print {
        assert_eq!(print.to_string().parse(), Ok(print.clone()));
        assert_eq!(print.distance(&print), Some(0));
        assert_eq!(serde_json::from_str::<Print>(&serde_json::to_string(&print).unwrap()).unwrap(), print);
    }
}
