// What the tests share. Where ETCD_TEST_ENDPOINTS names servers they are asked, otherwise the store in the library.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { open } from 'etcd-api';

export const servers = process.env.ETCD_TEST_ENDPOINTS;
export const onMem = servers === undefined;
export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const here = name => fileURLToPath(new URL(name, import.meta.url));

let stores = 0;
const run = `${process.pid}-${Date.now()}`;

/** Somewhere that no other test writes: endpoints and a namespace of the test's own. */
export function place() {
  const namespace = `node/${run}/${++stores}/`;
  return onMem ? { endpoints: `mem://node-${run}-${stores}` } : { endpoints: servers, namespace };
}

/** A client of a place of its own, closed with the test. */
export function client(t, options = {}) {
  const etcd = open({ ...place(), ...options });
  t.after(() => etcd.close({ timeout: 100 }));
  return etcd;
}

/** A port where somebody listens, and never says a word. */
export async function silence(t) {
  const sockets = new Set();
  const server = net.createServer(socket => sockets.add(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    sockets.forEach(socket => socket.destroy());
  });
  return `127.0.0.1:${server.address().port}`;
}

/** Runs a program of Node; gives how it ended. */
export async function node(args, { env = {}, limit = 30000, cwd } = {}) {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], cwd });
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  const output = { out: '', err: '' };
  child.stdout.on('data', data => { output.out += data; });
  child.stderr.on('data', data => { output.err += data; });
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  return { code, signal, ...output };
}

export const texts = kvs => kvs.map(({ key, value }) => `${key}=${value}`);

export async function take(watch, count) {
  const all = [];
  while (all.length < count) {
    const { value, done } = await watch.next();
    if (done) break;
    all.push(value);
  }
  return all;
}

export async function collect(iterable) {
  const all = [];
  for await (const one of iterable) all.push(one);
  return all;
}
