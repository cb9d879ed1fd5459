// A reader of packed records in JavaScript, written from docs/packed-records.md alone.   node packed.mjs ENDPOINTS
// koffi is the one that examples/node has. Each run has keys of its own.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import net from 'node:net';

const koffi = createRequire(new URL('../../examples/node/', import.meta.url))('koffi');
const lib = koffi.load(process.env.ETCD_API_LIBRARY ?? 'libetcd.so');
const OK = 0, TOO_LARGE = 54;
const [REPLY, CHANGES, STATE, END] = [1, 2, 3, 7];
const [LAST, TAKE, SUCCEEDED, MORE, RETRIABLE, OUTCOME_UNKNOWN] = [1, 2, 4, 8, 16, 32];
const kinds = ['key', 'put', 'delete', 'previous'];
const F = { PREFIX: 1, LIMIT: 3, REVISION: 4, TTL: 21, IF_ABSENT: 22, RETURN_PREVIOUS: 27 };

// From here to the next line of dashes: a reader, all of it.
const text = new TextDecoder();

/** The records in the first `used` bytes of a buffer. */
function* records(bytes, used) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, used);
  for (let at = 0; at < used; at += view.getUint32(at, true)) {
    if (view.getUint8(at + 4) !== 1) throw new Error(`packed records of version ${view.getUint8(at + 4)}`);
    yield record(view, bytes, at);
  }
}

function record(view, bytes, at) {
  const [u32, i32, i64] = [n => view.getUint32(at + n, true), n => view.getInt32(at + n, true), n => view.getBigInt64(at + n, true)];
  const textAt = at + u32(64), endpointAt = textAt + u32(68);
  const r = {
    kind: view.getUint8(at + 5), flags: view.getUint16(at + 6, true), tag: view.getBigUint64(at + 8, true),
    status: i32(16), state: i32(20), revision: i64(24), count: i64(32), lease: i64(40), ttl: i64(48),
    serverCode: i32(76), message: text.decode(bytes.subarray(textAt, endpointAt)),
    endpoint: text.decode(bytes.subarray(endpointAt, endpointAt + u32(72))), kvs: [],
  };
  for (let n = u32(56), kv = at + u32(60); n > 0; n--, kv += view.getUint32(kv, true)) {
    const key = kv + view.getUint16(kv + 6, true);
    const value = key + view.getUint32(kv + 8, true);
    const one = {
      kind: kinds[view.getUint16(kv + 4, true)], key: bytes.slice(key, value),
      value: bytes.slice(value, value + view.getUint32(kv + 12, true)),
      createRevision: view.getBigInt64(kv + 16, true), modRevision: view.getBigInt64(kv + 24, true),
      version: view.getBigInt64(kv + 32, true), lease: view.getBigInt64(kv + 40, true),
    };
    // What a change replaced stands right behind it.
    if (r.kind === CHANGES && one.kind === 'previous') r.kvs.at(-1).previous = one;
    else r.kvs.push(one);
  }
  return r;
}
// ----------------------------------------------------------------------------------------------------------------

const open = lib.func('void *etcd_open_str(str servers)');
const close = lib.func('void etcd_close(void *client)');
const newQueue = lib.func('int etcd_queue_new(size_t max_bytes, _Out_ void **out, void *err)');
const dupFd = lib.func('int etcd_queue_dup_fd(void *queue)');
const read = lib.func('int etcd_queue_read(void *queue, uint8_t *buf, size_t cap, _Out_ size_t *used, _Out_ uint32_t *records)');
const takeReply = lib.func('int etcd_queue_take_reply(void *queue, uint64_t tag, _Out_ void **out)');
const cancel = lib.func('int etcd_queue_cancel(void *queue, uint64_t tag)');
const freeQueue = lib.func('void etcd_queue_free(void *queue)');
const submit = lib.func('int etcd_submit(void *client, void *queue, void *request, uint64_t tag, int64_t timeout_ms, void *err)');
const setInt = lib.func('int etcd_request_set_int(void *request, int32_t field, int64_t value)');
const freeRequest = lib.func('void etcd_request_free(void *request)');
const getRequest = lib.func('void *etcd_request_get(uint8_t *key, size_t len)');
const putRequest = lib.func('void *etcd_request_put(uint8_t *key, size_t len, uint8_t *value, size_t value_len)');
const deleteRequest = lib.func('void *etcd_request_delete(uint8_t *key, size_t len)');
const watchRequest = lib.func('void *etcd_request_watch(uint8_t *key, size_t len)');
const grantRequest = lib.func('void *etcd_request_lease_grant(int64_t ttl)');
const txnRequest = lib.func('void *etcd_request_txn()');
const then = lib.func('int etcd_txn_then(void *txn, void *op)');
const children = lib.func('size_t etcd_reply_children(void *reply)');
const freeReply = lib.func('void etcd_reply_free(void *reply)');

const client = open(process.argv[2] ?? 'mem://');
assert(client);
const out = [null];
assert.equal(newQueue(0, out, null), OK);
const queue = out[0];

// The socket reads the byte that wakes it, and closes its copy of the descriptor: so everything is taken each time.
const socket = new net.Socket({ fd: dupFd(queue), readable: true, writable: false });
let buffer = new Uint8Array(256), tooSmall = 0;
const arrived = [];
let wake = () => {};
socket.on('data', () => {
  for (const [used, count] = [[0], [0]]; ;) {
    const status = read(queue, buffer, buffer.length, used, count);
    if (status === TOO_LARGE) {
      tooSmall++;
      buffer = new Uint8Array(Number(used[0]));
      continue;
    }
    assert.equal(status, OK);
    if (count[0] === 0) break;
    const all = [...records(buffer, Number(used[0]))];
    assert.equal(all.length, count[0]);
    arrived.push(...all);
  }
  wake();
});

/** The next record of a tag. */
async function next(tag) {
  for (;;) {
    const at = arrived.findIndex(r => r.tag === tag);
    if (at >= 0) return arrived.splice(at, 1)[0];
    await new Promise(resolve => { wake = resolve; });
  }
}

const prefix = `node-packed-${process.pid}-${Date.now()}/`;
const bytes = name => new TextEncoder().encode(name);
const key = name => [bytes(prefix + name), prefix.length + name.length];
let lastTag = 0n;

function start(request, fields = {}, to = client) {
  for (const [field, value] of Object.entries(fields)) assert.equal(setInt(request, F[field], value), OK);
  assert.equal(submit(to, queue, request, ++lastTag, 10000, null), OK);
  freeRequest(request);
  return lastTag;
}

async function run(request, fields, to) {
  const tag = start(request, fields, to);
  const reply = await next(tag);
  assert.equal(reply.kind, REPLY);
  assert(reply.flags & LAST);
  return reply;
}

const put = (name, value, fields) => run(putRequest(...key(name), bytes(value), bytes(value).length), fields);
const names = reply => reply.kvs.map(kv => `${kv.kind} ${text.decode(kv.key).slice(prefix.length)}=${text.decode(kv.value)}`);
const timer = setTimeout(() => { throw new Error('nothing came'); }, 30000);

// Puts with what was there before them, gets.
const first = await put('a', 'eins', { RETURN_PREVIOUS: 1 });
assert.deepEqual(names(first), []);
const second = await put('a', 'zwei ü', { RETURN_PREVIOUS: 1 });
assert.deepEqual(names(second), ['previous a=eins']);
assert.equal(second.kvs[0].modRevision, first.revision);
assert(second.revision > first.revision);
const got = await run(getRequest(...key('a')));
assert.deepEqual(names(got), ['key a=zwei ü']);
assert.deepEqual([got.status, got.count, got.kvs[0].version, got.kvs[0].lease], [OK, 1n, 2n, 0n]);
assert.deepEqual([got.kvs[0].createRevision, got.kvs[0].modRevision], [first.revision, second.revision]);
await put('b', '');
const some = await run(getRequest(...key('')), { PREFIX: 1, LIMIT: 1 });
assert.deepEqual([names(some), some.count, some.flags], [['key a=zwei ü'], 2n, LAST | MORE]);
const none = await run(getRequest(...key('none')));
assert.deepEqual([none.count, none.kvs], [0n, []]);

// A value that the buffer has no room for.
const long = 'x'.repeat(100000);
await put('long', long);
assert.deepEqual(names(await run(getRequest(...key('long')))), [`key long=${long}`]);
assert(tooSmall > 0 && buffer.length >= long.length);

// Leases.
const lease = await run(grantRequest(100));
assert(lease.lease !== 0n && lease.ttl === 100n);
const under = await put('ttl', 'x', { TTL: 100 });
assert(under.lease !== 0n);
assert.equal((await run(getRequest(...key('ttl')))).kvs[0].lease, under.lease);

// Errors.
const refused = await put('a', 'x', { IF_ABSENT: 1 });
assert.deepEqual([refused.status, refused.kvs, refused.flags], [71, [], LAST]);
assert.match(refused.message, /condition/);
const future = await run(getRequest(...key('a')), { REVISION: 1_000_000_000 });
assert.deepEqual([future.status, future.serverCode], [51, 11]);
const nowhere = open('127.0.0.1:1');
const nobody = await run(getRequest(...key('a')), {}, nowhere);
assert.deepEqual([nobody.status, nobody.endpoint, nobody.flags & RETRIABLE], [30, 'http://127.0.0.1:1', RETRIABLE]);
assert(nobody.message.includes('refused') && !(nobody.flags & OUTCOME_UNKNOWN));
close(nowhere);

// A transaction does not fit a record: its reply is taken.
const txn = txnRequest(), op = getRequest(...key('a'));
then(txn, op);
then(txn, op);
freeRequest(op);
const done = await run(txn);
assert.equal(done.flags, LAST | TAKE | SUCCEEDED);
assert.equal(takeReply(queue, done.tag, out), OK);
assert.equal(Number(children(out[0])), 2);
freeReply(out[0]);

// A watch with what was there before.
const watch = start(watchRequest(...key('')), { PREFIX: 1, RETURN_PREVIOUS: 1 });
const live = await next(watch);
assert.deepEqual([live.kind, live.state, live.flags], [STATE, 1, 0]);
await put('w', '1');
await put('w', '2');
const deleted = await run(deleteRequest(...key('')), { PREFIX: 1, RETURN_PREVIOUS: 1 });
assert.deepEqual([deleted.count, names(deleted).at(-1)], [5n, 'previous w=2']);
const told = [await next(watch), await next(watch), await next(watch)];
assert.deepEqual(told.map(r => [r.kind, r.count, r.state]), [[CHANGES, 1n, 0], [CHANGES, 1n, 0], [CHANGES, 5n, 0]]);
assert.deepEqual(told.slice(0, 2).map(r => names(r)), [['put w=1'], ['put w=2']]);
assert.equal(told[0].kvs[0].previous, undefined);
assert.equal(text.decode(told[1].kvs[0].previous.value), '1');
assert.deepEqual(names(told[2]), ['a', 'b', 'long', 'ttl', 'w'].map(name => `delete ${name}=`));
assert(told[2].kvs.every(kv => kv.modRevision === deleted.revision && kv.previous.kind === 'previous'));
assert.equal(text.decode(told[2].kvs[4].previous.value), '2');
cancel(queue, watch);
const end = await next(watch);
assert.deepEqual([end.kind, end.status, end.flags & LAST], [END, 12, LAST]);

// Many at once.
const tags = new Set();
for (let n = 0; n < 1000; n++) tags.add(start(getRequest(...key('none'))));
for (const tag of tags) assert.equal((await next(tag)).status, OK);
assert.equal(arrived.length, 0);

clearTimeout(timer);
socket.destroy();
freeQueue(queue);
close(client);
console.log('all as it should be');
