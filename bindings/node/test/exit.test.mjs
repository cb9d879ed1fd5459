import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, here, node, onMem, place, silence } from './helpers.mjs';

const program = name => here(`programs/${name}.mjs`);
/** How often each way to end is tried; `make long` has a hundred. */
const TRIES = Number(process.env.ETCD_TEST_TRIES ?? 8);

test('a process ends by itself with an idle client and a live watch', async () => {
  const { code, out, err } = await node([program('idle')]);
  assert.deepEqual([code, out, err], [0, 'read 1, ending with 0\n', '']);
});

test('a call in flight keeps the process alive', async t => {
  const start = performance.now();
  const { code, out } = await node([program('pending'), await silence(t)]);
  assert.deepEqual([code, out], [0, 'ETCD_ERR_TIMEOUT\n']);
  assert(performance.now() - start > 700);
});

test('a watch or client that is to keep the process alive does', async () => {
  for (const what of ['watch', 'client']) {
    const { code, out } = await node([program('kept'), what]);
    assert.deepEqual([code, out], [0, 'still here\n'], what);
  }
  assert.equal((await node([program('kept'), 'neither'])).out, '', 'the broken twin ends at once');
});

test('what a listener throws is not lost, and nothing else is', async () => {
  const { code, out } = await node([program('listener')]);
  assert.deepEqual([code, out], [0, 'uncaught: mine\nand saw a=1\nuncaught: mine, too\nand held true\n']);
});

const ENDS = {
  exit: { code: 7 },
  throw: { code: 1, err: /as planned/ },
  reject: { code: 1, err: /as planned/ },
  natural: { code: 0 },
  kill: { code: null, signal: 'SIGTERM' },
  worker: { code: 0, out: 'workers are gone\n' },
  'worker-exit': { code: 0, out: 'workers are gone\n' },
};

for (const [how, wanted] of Object.entries(ENDS)) {
  test(`the end of a busy process: ${how}`, { concurrency: true }, async () => {
    for (let i = 0; i < TRIES; i++) {
      const ended = await node([program('busy'), how]);
      const what = `try ${i}: ${JSON.stringify(ended)}`;
      assert.equal(ended.code, wanted.code, what);
      assert.equal(ended.signal, wanted.signal ?? null, what);
      if (wanted.out) assert.equal(ended.out, wanted.out, what);
      if (wanted.err) assert.match(ended.err, wanted.err, what);
    }
  });
}

test('a lock ends with its worker, and so does all that it had open', async () => {
  const { code, out, err } = await node([program('holder'), 'workers', `${TRIES}`], { limit: 120_000 });
  assert.deepEqual([code, err], [0, '']);
  const descriptors = JSON.parse(out);
  assert(descriptors.at(-1) <= descriptors[3] + TRIES, `each end leaves something: ${out}`);
});

test('a lock ends with its process', async t => {
  if (onMem) return;
  const where = place();
  const etcd = client(t, where);
  for (const [how, wanted] of [['exit', 0], ['throw', 1], ['natural', 0]]) {
    const { code } = await node([program('holder'), how], { env: { ETCD_TEST_NAMESPACE: where.namespace } });
    assert.equal(code, wanted);
    const lock = await etcd.lock('held', { wait: 20_000 });
    await lock.release();
  }
});
