// Everything once.   node quickstart.mjs [ENDPOINTS]      without endpoints: on the store in the library
import { CompareFailedError, compare, op, open } from 'etcd-api';

const etcd = open({ endpoints: process.argv[2] ?? 'mem://', namespace: `quickstart/${process.pid}/` });

// Keys.
const { revision } = await etcd.put('colour', 'blue');
console.log(`the colour is ${await etcd.getString('colour')}`);
await etcd.put('colour', 'green', { ifModRevision: revision });
await etcd.put('colour', 'red', { ifModRevision: revision }).catch(error => {
  if (!(error instanceof CompareFailedError)) throw error;
  console.log('somebody was faster');
});

// A transaction: all of it, or nothing.
const moved = await etcd.txn()
  .if(compare.value('colour', '==', 'green'), compare.missing('shape'))
  .do(op.put('shape', 'round'), op.get('colour'))
  .else(op.get('shape'))
  .commit();
console.log(`${moved.succeeded ? 'made' : 'found'} a shape; ${moved.results.length} operations`);

// A lease: what is attached to it goes with it.
const lease = await etcd.leases.grant(30);
await etcd.put('here', 'I am', { lease: lease.id });
await etcd.leases.revoke(lease.id);

// Every change since the first one.
for await (const { type, key, value } of etcd.watch({ prefix: '' }, { startRevision: revision, ref: true })) {
  console.log(type === 'put' ? `${key} = ${value}` : `${key} is deleted`);
  if (type === 'delete') break;
}

for await (const { key, value } of etcd.getAll({ prefix: '' })) console.log(`there is ${key} = ${value}`);

// A lock, and what its holder alone may do.
const lock = await etcd.lock('painting', { wait: 1000 });
const painted = await lock.guard(etcd.txn()).do(op.put('colour', 'white')).commit();
console.log(painted.succeeded ? 'painted it under a lock' : 'lost the lock: nothing was done');
await lock.release();

await etcd.delete({ prefix: '' });
await etcd.close();
