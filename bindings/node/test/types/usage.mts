// What programs write, as TypeScript sees it; compiled and never run.
import etcdDefault, { CanceledError, CompactedError, EtcdError, compare, op, open, type Change, type Client } from 'etcd-api';

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
