// What programs write, as TypeScript sees it; compiled and never run.
import etcdDefault, {
  CanceledError, CompactedError, EtcdError, compare, op, open, type Change, type Client, type Leader, type Leadership, type Lock,
} from 'etcd-api';
import locked from 'etcd-api/locked';

const etcd: Client = open({ endpoints: ['127.0.0.1:2379'], requestTimeoutMs: 500 });
etcdDefault.open('mem://');
open();

const kv = await etcd.get(new Uint8Array(1), { revision: 1, signal: AbortSignal.timeout(5), timeout: 5 });
const value: string | undefined = kv?.value.toString('utf8');
const lease: bigint | undefined = kv?.lease;
// @ts-expect-error it may be null
kv.value;
// @ts-expect-error leases are BigInts
await etcd.put('a', value ?? '', { lease: 5 });
// @ts-expect-error a revision is a number
await etcd.get('a', { revision: 5n });
// @ts-expect-error no such option
await etcd.delete('a', { prefix: true });
// @ts-expect-error values are no numbers
await etcd.put('a', 5);
await etcd.put('a', Buffer.from('b'), { lease, ifAbsent: true });
await etcd.delete({ prefix: 'a' });
await etcd.delete('a', { ifValue: 'b', ifPresent: true });
await etcd.delete({ start: 'a' }, { previous: true, timeout: 5 });
// @ts-expect-error conditions are for one key
await etcd.delete({ prefix: 'a' }, { ifValue: 'b' });
// @ts-expect-error a prefix has no end
await etcd.count({ prefix: 'a', end: 'b' });
for await (const { key, modRevision } of etcd.getAll({ start: 'a', end: 'b' }, { pageSize: 10 })) {
  const both: [Buffer, number] = [key, modRevision];
  void both;
}

for await (const change of etcd.watch('a', { previous: true })) {
  if (change.type === 'put') change.value.toString();
  // @ts-expect-error a deletion has no value
  else change.value.toString();
}
for await (const item of etcd.watch({ prefix: '' }, { states: true, ref: true })) {
  switch (item.type) {
    case 'put': case 'delete': { const change: Change = item; void change; break; }
    case 'resuming': item.error?.endpoint; break;
    default: item.revision.toFixed();
  }
}
const settings: { batches: boolean; noPuts: boolean } = { batches: Math.random() > 0.5, noPuts: true };
for await (const item of etcd.watch('a', settings)) if (item.type === 'changes') item.changes.length;
for await (const batch of etcd.watch('a', { batches: true })) batch.changes.map(change => change.previous?.value);
const watch = etcd.watch('a').on('state', state => state.type === 'live').ref();
const from: number = await watch.ready();
void from;

const { succeeded, results } = await etcd.txn()
  .if(compare.value('a', '==', 'x'), compare.lease('b', '!=', 5n))
  .do(op.get('a'), op.put('b', 'y', { previous: true }), etcd.txn().do(op.delete('a')))
  .else(op.get({ prefix: 'a' }, { limit: 1 }))
  .commit({ timeout: 5 });
if (succeeded && results[0]?.type === 'get') results[0].kvs.length;
// @ts-expect-error an operation is made by `op`
etcd.txn().do('a');

const granted = await etcd.leases.grant(10);
await etcd.leases.revoke(granted.id);
for (const alarm of await etcd.alarms()) await etcd.disarmAlarm(alarm);
const [status] = await etcd.status();
status?.error?.code;
try {
  await etcd.compact(5, { physical: true });
} catch (error) {
  if (error instanceof CompactedError) error.compactRevision.toFixed();
  else if (error instanceof CanceledError || error instanceof EtcdError) error.outcomeUnknown && error.endpoint?.length;
}
await etcd.close({ timeout: 5 });
await etcd[Symbol.asyncDispose]();

await using lock: Lock = await open('mem://').lock('a', { ttl: 5, wait: 0, value: 'me', signal: AbortSignal.timeout(5) });
const fencing: [Buffer, number, Buffer, boolean, number] = [lock.key, lock.token, lock.value, lock.isHeld, lock.remainingMs];
void fencing;
await fetch('http://127.0.0.1', { signal: lock.signal });
lock.once('lost', error => error.code).ref();
// @ts-expect-error no such event
lock.on('gone', () => {});
// @ts-expect-error seconds are a number
await etcd.lock('a', { ttl: '5' });
const guarded: boolean = (await lock.guard(etcd.txn().do(op.put('a', 'b'))).commit()).succeeded;
void guarded;
await lock.release({ timeout: 5 });
const leadership: Leadership = await etcd.elect('a', { value: Buffer.from('me') });
const proclaimed: number = (await leadership.proclaim('you')).revision;
void proclaimed;
await leadership.resign();
for await (const leader of etcd.observe('a', { ref: true })) {
  // @ts-expect-error nobody may lead
  leader.value;
  const since: number | undefined = leader?.token;
  void since;
}
const leads: Leader | null = await etcd.leader('a');
void leads;

const node: locked.Node = locked(['127.0.0.1'])({ path: '/master', value: 10 });
locked(etcd)('/master', { value: 'x', id: 'me', ttl: 5 }).on('deselect', () => {}).on('error', error => error.message);
locked({ _hosts: ['http://127.0.0.1:4001'] });
node.on('select', (value, id) => value + id).start(() => node.value((_, text) => text)).then(() => node.stop());
// @ts-expect-error it must be specified
locked()({ path: '/master' });
