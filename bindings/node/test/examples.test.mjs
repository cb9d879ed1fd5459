// The examples, and every snippet of the README.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { here, node, onMem, place, servers } from './helpers.mjs';
import { open } from 'etcd-api';

const QUICKSTART = `the colour is blue
somebody was faster
made a shape; 2 operations
colour = blue
colour = green
shape = round
here = I am
here is deleted
there is colour = green
there is shape = round
painted it under a lock
`;

test('the quickstart', async () => {
  const { code, out, err } = await node([here('../examples/quickstart.mjs'), ...(onMem ? [] : [servers])]);
  assert.deepEqual([code, out, err], [0, QUICKSTART, '']);
});

/** Runs the leader service; gives the process, and what waits for a line of it. */
function service(t, name) {
  const child = spawn(process.execPath, [here('../examples/leader.mjs'), servers ?? 'mem://', name], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  let text = '';
  let wake = () => {};
  child.stdout.on('data', data => { text += data; wake(); });
  const said = async line => {
    while (!text.split('\n').includes(line)) await new Promise(resolve => { wake = resolve; });
  };
  return { child, said, exit };
}

test('the leader service', async t => {
  const first = service(t, 'first');
  await first.said('working');
  await first.said('leader: first');
  const second = onMem ? null : service(t, 'second');
  await second?.said('leader: first');
  first.child.kill('SIGTERM');
  await first.said('stopped');
  assert.deepEqual(await first.exit, [0, null]);
  await second?.said('leader: second');
  await second?.said('working');
});

/** The events of a stream, as they come. */
async function* eventsOf(response) {
  let text = '';
  for await (const chunk of response) {
    text += chunk;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split('\n');
      yield Object.fromEntries(lines.map(line => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)]));
    }
  }
}

const notShared = 'the store in the library is not shared with another process';
test('watches as server-sent events', { skip: onMem && notShared }, async t => {
  const { namespace } = place();
  const etcd = open({ endpoints: servers, namespace });
  t.after(() => etcd.close());
  const server = spawn(process.execPath, [here('../examples/sse.mjs'), servers, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill('SIGKILL'));
  const [line] = await once(server.stdout, 'data');
  const port = Number(line.toString().match(/port (\d+)/)[1]);
  const connect = async headers => {
    const request = http.get({ port, host: '127.0.0.1', path: `/${encodeURIComponent(namespace)}`, headers });
    const [response] = await once(request, 'response');
    return { events: eventsOf(response), request };
  };
  await etcd.put('a', '1');
  const first = await connect({});
  const state = (await first.events.next()).value;
  assert.deepEqual([state.event, JSON.parse(state.data)], ['state', [[`${namespace}a`, '1']]]);
  const { revision } = await etcd.put('a', '2');
  const changes = (await first.events.next()).value;
  assert.deepEqual([changes.event, changes.id, JSON.parse(changes.data)], ['changes', `${revision}`, [[`${namespace}a`, '2']]]);
  first.request.destroy();
  await etcd.delete('a');
  const second = await connect({ 'last-event-id': changes.id });
  assert.deepEqual(JSON.parse((await second.events.next()).value.data), [[`${namespace}a`, null]]);
  const exit = once(server, 'exit');
  server.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
});

const readme = readFileSync(here('../README.md'), 'utf8');
const snippets = [...readme.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code);

/** A snippet stands in a program with a client; one that imports is a whole program. */
function programOf(snippet) {
  if (/from 'etcd-api/.test(snippet)) return snippet;
  return `import { CompactedError, EtcdError, compare, op, open } from 'etcd-api';
const etcd = open({ endpoints: process.env.ETCD_API_ENDPOINTS, namespace: 'readme/${process.pid}/' });
${snippet}
await etcd.close();`;
}

test('the README has snippets', () => assert(snippets.length >= 8));

for (const [number, snippet] of snippets.entries()) {
  test(`snippet ${number + 1} of the README: ${snippet.split('\n')[0]}`, async t => {
    const folder = mkdtempSync(path.join(here('.'), 'tmp-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'snippet.mjs');
    writeFileSync(file, programOf(snippet));
    const { code, err } = await node([file], { env: { ETCD_API_ENDPOINTS: servers ?? 'mem://' } });
    assert.deepEqual([code, err], [0, ''], snippet);
  });
}

test('the README\'s guide names methods that are there', () => {
  const types = readFileSync(here('../index.d.ts'), 'utf8');
  for (const [, method] of readme.matchAll(/`etcd\.(?:leases\.)?(\w+)\(/g)) {
    assert.match(types, new RegExp(`\\b${method}\\(`), method);
  }
});
