// This package and `etcd3`, side by side on one server.   node bench.mjs ENDPOINT [SECONDS]
// Each measurement is a process of its own, and the two take turns. Prints a table in Markdown: the median of each, and
// of their ratio in each round, with the lowest and the highest.
import { execFileSync } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const [endpoint, seconds = '2', who, what, flight] = process.argv.slice(2);
const VALUE = 'x'.repeat(64);
const EVENTS = 50_000;
/** Few enough for an answer of less than 4 MiB: etcd3 takes no longer one, and waits for ever. */
const HISTORY = 20_000;
const PER_TXN = 100;
const WRITERS = 8;
const ROUNDS = 5;

const clients = {
  async 'etcd-api'() {
    const { open, op } = await import('etcd-api');
    const etcd = open(endpoint);
    return {
      get: () => etcd.get('bench/key'),
      put: () => etcd.put('bench/key', VALUE),
      fill: keys => etcd.txn().do(...keys.map(key => op.put(key, VALUE))).commit(),
      lock: async lane => (await etcd.lock(`bench/lock${lane}`)).release(),
      revision: async () => (await etcd.put('bench/key', VALUE)).revision,
      async watch(count, startRevision) {
        const watch = etcd.watch({ prefix: 'bench/w' }, { startRevision, ref: true });
        await watch.ready();
        // Not a bare promise: whoever awaits this would wait for it, too.
        return { seen: (async () => { for await (const _ of watch) if (--count === 0) break; })() };
      },
      close: () => etcd.close(),
    };
  },
  async etcd3() {
    const { Etcd3 } = (await import('etcd3')).default;
    const etcd = new Etcd3({ hosts: [`http://${endpoint}`] });
    return {
      get: () => etcd.get('bench/key').buffer(),
      put: () => etcd.put('bench/key').value(VALUE),
      fill: keys => etcd.if('bench/none', 'Version', '==', 0).then(...keys.map(key => etcd.put(key).value(VALUE))).commit(),
      lock: async lane => (await etcd.lock(`bench/lock${lane}`).ttl(10).acquire()).release(),
      revision: async () => Number((await etcd.put('bench/key').value(VALUE)).header.revision),
      async watch(count, startRevision) {
        const builder = etcd.watch().prefix('bench/w');
        if (startRevision !== undefined) builder.startRevision(String(startRevision));
        const watch = await builder.create();
        return { seen: new Promise(resolve => watch.on('put', () => --count === 0 && resolve())) };
      },
      close: () => etcd.close(),
    };
  },
};

/** Operations a second, and microseconds of processor time for each, with so many in flight. */
async function calls(run, inFlight) {
  let done = 0;
  const lane = async (number, until) => {
    for (; performance.now() < until; done++) await run(number);
  };
  const lanes = length => Promise.all(Array.from({ length: inFlight }, (_, number) => lane(number, performance.now() + length)));
  await lanes(300);
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  done = 0;
  delay.enable();
  await lanes(seconds * 1000);
  return result(done, start, cpu, delay);
}

function result(done, start, cpu, delay) {
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: done / (performance.now() - start) * 1000, cpu: (user + system) / done, delay: delay.max / 1e6 };
}

/** Writes what is watched, some transactions at a time. */
async function fill(client, count) {
  const keys = Array.from({ length: PER_TXN }, (_, n) => `bench/w${n}`);
  let left = count / PER_TXN;
  const lane = async () => {
    while (left-- > 0) await client.fill(keys);
  };
  await Promise.all(Array.from({ length: WRITERS }, lane));
}

/** Changes that come while they are written, by the same process: the server writes as fast as it can. */
async function events(client) {
  const { seen } = await client.watch(EVENTS);
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await fill(client, EVENTS);
  await seen;
  return result(EVENTS, start, cpu, delay);
}

/** Changes that were made before: a watch that catches up. */
async function history(client) {
  const revision = await client.revision();
  await fill(client, HISTORY);
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await (await client.watch(HISTORY, revision + 1)).seen;
  return result(HISTORY, start, cpu, delay);
}

/**
 * How long the event loop is held up, at most and usually, while as many changes wait as there can be, on mem://. In a
 * new process most of the longest is V8, which compiles what it has not run before; so the later ones count, too.
 */
async function drain() {
  const { open, op } = await import('etcd-api');
  const etcd = open('mem://');
  const { revision } = await etcd.put('bench/k', VALUE);
  const keys = Array.from({ length: PER_TXN }, (_, n) => op.put(`bench/w${n}`, VALUE));
  for (let i = 0; i < EVENTS / PER_TXN; i++) await etcd.txn().do(...keys).commit();
  const drains = [];
  for (let i = 0; i < 4; i++) drains.push(await drainOnce(etcd, revision));
  const late = drains.slice(2).map(one => one.longest);
  return { first: drains[0].longest, late: Math.max(...late), median: drains[3].median };
}

async function drainOnce(etcd, revision) {
  const turns = [];
  let [last, left, isOver] = [0, 0, false];
  const turn = () => {
    turns.push(performance.now() - last);
    last = performance.now();
    if (!isOver) setImmediate(turn);
  };
  const watch = etcd.watch({ prefix: 'bench/w' }, { startRevision: revision + 1, ref: true });
  await watch.ready();
  [last, left] = [performance.now(), EVENTS];
  turn();
  for await (const _ of watch) if (--left === 0) break;
  isOver = true;
  turns.sort((one, other) => one - other);
  return { longest: turns.at(-1), median: turns[turns.length >> 1] };
}

async function measure() {
  if (what === 'drain') {
    console.log(JSON.stringify(await drain()));
    process.exit();
  }
  const begun = performance.now();
  const client = await clients[who]();
  await client.put();
  const startUp = performance.now() - begun;
  const kinds = { start: () => ({ perSecond: startUp, cpu: 0, delay: 0 }), events, history };
  const measured = await (kinds[what] ?? (() => calls(client[what], Number(flight))))(client);
  console.log(JSON.stringify(measured));
  await client.close();
  process.exit();
}

const ROWS = [
  ['gets a second, 1 in flight', 'get', 1], ['gets a second, 16 in flight', 'get', 16], ['gets a second, 256 in flight', 'get', 256],
  ['puts a second, 1 in flight', 'put', 1], ['puts a second, 16 in flight', 'put', 16], ['puts a second, 256 in flight', 'put', 256],
  ['lock cycles a second, 1 in flight', 'lock', 1], ['lock cycles a second, 16 in flight', 'lock', 16],
  ['watch events a second, while written', 'events', 0], ['watch events a second, catching up', 'history', 0],
  ['milliseconds to load, open and put once', 'start', 0],
];

function run(whose, row) {
  const args = [fileURLToPath(import.meta.url), endpoint, seconds, whose, row[1], String(row[2])];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
}

const sorted = numbers => [...numbers].sort((one, other) => one - other);
const median = numbers => sorted(numbers)[numbers.length >> 1];

function line(row) {
  const rounds = Array.from({ length: ROUNDS }, () => [run('etcd-api', row), run('etcd3', row)]);
  const isTime = row[1] === 'start';
  const times = sorted(rounds.map(([ours, theirs]) => (isTime ? theirs.perSecond / ours.perSecond : ours.perSecond / theirs.perSecond)));
  const of = (who, field) => median(rounds.map(round => round[who][field])).toFixed(0);
  const rest = ['cpu', 'delay'].flatMap(field => (isTime ? ['', ''] : [of(0, field), of(1, field)]));
  const ratio = `${median(times).toFixed(2)} (${times[0].toFixed(2)}–${times.at(-1).toFixed(2)})`;
  return `| ${[row[0], of(0, 'perSecond'), of(1, 'perSecond'), ratio, ...rest].join(' | ')} |`;
}

function table() {
  console.log(`${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${availableParallelism()} processors, load ${loadavg()[0].toFixed(1)} at the beginning\n`);
  console.log('| | etcd-api | etcd3 | times | µs of processor | etcd3\'s | longest turn, ms | etcd3\'s |');
  console.log('|---|---|---|---|---|---|---|---|');
  for (const row of ROWS) console.log(line(row));
  const drains = Array.from({ length: 2 * ROUNDS }, () => run('etcd-api', ['', 'drain', 0]));
  const of = name => `${median(drains.map(one => one[name])).toFixed(2)} (at most ${Math.max(...drains.map(one => one[name])).toFixed(2)})`;
  console.log(`\nThe longest turn of the loop while ${EVENTS} changes are drained, ms: ${of('late')}; the first time in a process: ${of('first')}; the median turn: ${of('median')}.`);
  console.log(`\nload ${loadavg()[0].toFixed(1)} at the end`);
}

if (endpoint === undefined) throw new Error('usage: node bench.mjs ENDPOINT [SECONDS]');
if (who === undefined) table();
else await measure();
