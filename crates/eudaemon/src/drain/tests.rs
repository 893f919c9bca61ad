use super::*;
use std::os::unix::net::UnixStream;
use std::thread;

const LONG: Duration = Duration::from_secs(60);

fn stop() -> StopSignal {
    StopSignal::new().expect("a descriptor is free")
}

#[test]
fn it_waits_for_the_stop_and_for_the_last_one() {
    let stop = stop();
    let connections = Connections::until(&stop);
    let (one, two) = (connections.enter(), connections.enter());
    let again = one.clone();
    assert_eq!(connections.open(), 2);
    assert!(!one.is_closing());
    let all = connections.clone();
    let waiter = thread::spawn(move || (all.wait(), all.open()));
    drop((one, two));
    stop.set(Instant::now() + LONG);
    assert!(again.is_closing());
    assert_eq!(connections.open(), 1);
    assert!(!waiter.is_finished(), "a clone is open");
    drop(again);
    assert_eq!(waiter.join().expect("it only waits"), (0, 0));
}

#[test]
fn it_gives_up_a_tenth_before_the_end_and_a_second_at_most() {
    for (length, least) in [(400, 300), (3000, 1950)] {
        let (stop, begun) = (stop(), Instant::now());
        let connections = Connections::until(&stop);
        let _never_ends = connections.enter();
        let length = Duration::from_millis(length);
        stop.set(begun + length);
        assert_eq!(connections.wait(), 1);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least), "{took:?}");
        assert!(took < length, "{took:?}");
    }
}

#[test]
fn a_thread_hears_a_request_or_that_there_is_none() {
    let stop = stop();
    let connections = Connections::quiet(&stop, Duration::from_millis(50));
    let connection = connections.enter();
    let (mut client, server) = UnixStream::pair().expect("a pair");
    let say = |client: &mut UnixStream| std::io::Write::write_all(client, b"?");
    say(&mut client).expect("room for a byte");
    assert!(connection.wait(&server).expect("it can be watched"));
    // Also when it is to stop: what was under way is answered.
    stop.set(Instant::now() + LONG);
    assert!(connection.wait(&server).expect("it can be watched"));
    std::io::Read::read_exact(&mut &server, &mut [0]).expect("a byte");
    let begun = Instant::now();
    assert!(!connection.wait(&server).expect("it can be watched"));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    // A client that goes is heard: there is its end to read.
    drop(client);
    assert!(connection.wait(&server).expect("it can be watched"));
}

#[test]
fn a_thread_that_waits_already_hears_the_stop() {
    let stop = stop();
    let connection = Connections::quiet(&stop, Duration::from_millis(20)).enter();
    let (_client, server) = UnixStream::pair().expect("a pair");
    let waiter = thread::spawn(move || connection.wait(&server));
    stop.set(Instant::now() + LONG);
    let heard = waiter.join().expect("it only waits");
    assert!(!heard.expect("it can be watched"));
}

#[cfg(feature = "tokio")]
mod tasks {
    use super::*;

    fn run<F: Future>(work: F) -> F::Output {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().build();
        runtime.expect("a runtime").block_on(work)
    }

    #[test]
    fn idle_is_counted_from_the_stop_and_from_the_last_request() {
        let quiet = Duration::from_millis(100);
        let stop = stop();
        let connection = Connections::quiet(&stop, quiet).enter();
        let busy = connection.busy();
        let waits = connection.clone();
        run(async {
            let idle = tokio::spawn(async move { waits.idle().await });
            stop.set(Instant::now() + LONG);
            let early = tokio::time::timeout(quiet * 3, connection.closing()).await;
            assert!(early.is_ok());
            tokio::time::sleep(quiet * 3).await;
            assert!(!idle.is_finished(), "somebody is busy");
            drop(busy);
            let ended = Instant::now();
            idle.await.expect("it only waits");
            assert!(ended.elapsed() >= quiet, "{:?}", ended.elapsed());
        });
    }

    #[test]
    fn accepting_ends_with_the_stop_and_the_queue_stays() {
        let stop = stop();
        let connections = Connections::until(&stop);
        run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.expect("a port");
            let address = listener.local_addr().expect("its address");
            let _client = std::net::TcpStream::connect(address).expect("a connection");
            let first = connections.accept(&listener).await.expect("it listens");
            let (_stream, connection) = first.expect("it goes on");
            let _waits = std::net::TcpStream::connect(address).expect("a connection");
            stop.set(Instant::now() + LONG);
            let second = connections.accept(&listener).await.expect("it listens");
            assert!(second.is_none());
            // Whoever has the listener next takes it from the queue.
            assert!(listener.accept().await.is_ok());
            let all = connections.clone();
            let finish = tokio::spawn(async move { all.finish().await });
            drop(connection);
            assert_eq!(finish.await.expect("it only waits"), 0);
        });
    }
}
