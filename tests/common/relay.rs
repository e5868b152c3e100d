//! A filter that filters nothing: octets in, the same octets out. What a recipe does without Sekisho.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};

/// Listens on a port of 127.0.0.1 and passes every connection on to another, until the test program ends.
pub fn start(port: u16, next_hop: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the filter's port");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // If the next hop is away, the client sees a lost connection.
            let Ok(server) = TcpStream::connect(("127.0.0.1", next_hop)) else { continue };
            let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { continue };
            std::thread::spawn(move || pass(from, to));
            std::thread::spawn(move || pass(server, client));
        }
    });
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // A side that goes away ends the connection, which is all there is to do.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
