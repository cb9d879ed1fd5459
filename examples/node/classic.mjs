// The classic functions from Node.   node classic.mjs [SERVERS]   (the library: ETCD_API_LIBRARY or libetcd.so)
import koffi from 'koffi';

const lib = koffi.load(process.env.ETCD_API_LIBRARY ?? 'libetcd.so');
const free = koffi.load('libc.so.6').func('void free(void *)');
koffi.disposable('Owned', 'str', free); // a string that the library made: copied, then freed
const open = lib.func('void *etcd_open_str(str servers)');
const close = lib.func('void etcd_close(void *session)');
const get = lib.func('Owned etcd_get(void *session, str key)');
const set = lib.func('int etcd_set(void *session, str key, str value, str precond, uint ttl)');
const watch = lib.func('int etcd_watch(void *session, str prefix, _Out_ Owned *key, _Out_ Owned *value, int *from, _Out_ int *at)');
const lock = lib.func('int etcd_lock(void *session, str key, uint ttl, str index, _Out_ Owned *out)');
const unlock = lib.func('int etcd_unlock(void *session, str key, str index)');

function check(result, what) {
  if (result !== 0) throw new Error(`${what}: result ${result}, errno ${koffi.errno()}`);
}

const session = open(process.argv[2] ?? 'mem://');
if (!session) throw new Error(`etcd_open_str: errno ${koffi.errno()}`);
check(set(session, 'node/greeting', 'hello', null, 0), 'set');
check(set(session, 'node/greeting', 'hello, Node', 'hello', 0), 'set if it is hello');
console.log(`greeting is ${get(session, 'node/greeting')}; below node is ${get(session, 'node')}`);

const index = [null];
check(lock(session, 'node/lock', 10, null, index), 'lock');
check(unlock(session, 'node/lock', index[0]), 'unlock');
console.log(`held lock ${index[0]}`);

const [key, value, at] = [[null], [null], [0]];
check(set(session, 'node/greeting', null, null, 0), 'delete');
check(watch(session, 'node/greeting', key, value, [Number(index[0])], at), 'watch');
console.log(`saw ${key[0]} become ${value[0]}`);
close(session);
