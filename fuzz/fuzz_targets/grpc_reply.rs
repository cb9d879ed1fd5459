#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd::fuzzing::grpc_reply(data));
