'use strict';
// The interface of the npm module `locked`: of many nodes one is selected, and a path's key tells all which one.
// locked.d.ts says what each method does.

const { EventEmitter } = require('node:events');
const { randomBytes } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { Client } = require('./lib/client.js');
const { EtcdError, classes } = require('./lib/errors.js');
const { op } = require('./lib/requests.js');
const { throwLater } = require('./lib/queue.js');
const { object, whole } = require('./lib/values.js');

const SEPARATOR = ':::';
const LOSSES = [classes.LostError, classes.NotHeldError, classes.LeaseNotFoundError];

/** Whether somebody took the lock away. */
function isLoss(error) {
  return LOSSES.some(type => error instanceof type);
}

/** Whether the same may succeed later. */
function mayPass(error) {
  return isLoss(error) || (error instanceof EtcdError && (error.retriable || error.outcomeUnknown));
}

/** What is stored, apart: the id is what comes before the first separator. */
function parsed(text) {
  const [id, ...rest] = text.split(SEPARATOR);
  return { id, value: rest.join(SEPARATOR) };
}

/** From start() to stop(). */
class Run {
  #stop = new AbortController();

  constructor() {
    this.began = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    // Who does not look at it is told by the event 'error'.
    this.began.catch(() => {});
  }

  get signal() {
    return this.#stop.signal;
  }

  stop() {
    this.#stop.abort();
  }
}

class Node extends EventEmitter {
  #client;
  #path;
  #value;
  #id;
  #ttl;
  #run = null;
  #lock = null;
  /** As it was told. */
  #isSelected = false;
  /** What the key held when it was last seen, and since when; null: nothing was seen yet. */
  #text = null;
  #revision = 0;
  /** When the key was first written under the lock that is held, and the write that is under way. */
  #since = Infinity;
  #writing = null;

  constructor(client, { path, value, id = randomBytes(3).toString('hex'), ttl }) {
    super();
    if (!path) throw new Error('path must be specified');
    if (!value) throw new Error('value must be specified');
    this.#client = client;
    this.#path = String(path);
    this.#value = value;
    this.#id = String(id);
    this.#ttl = whole(ttl || 10, '`ttl`');
  }

  id(done) {
    return answer(this.#text === null ? null : parsed(this.#text).id, done);
  }

  value(done) {
    return answer(this.#text === null ? null : parsed(this.#text).value, done);
  }

  localid() {
    return this.#id;
  }

  localvalue() {
    return this.#value;
  }

  localdata() {
    return `${this.#id}${SEPARATOR}${this.#value}`;
  }

  isSelected() {
    return this.#revision >= this.#since && this.#text === this.localdata() && this.#lock.isHeld;
  }

  start(done) {
    if (this.#run === null) this.#begin();
    const { began } = this.#run;
    if (typeof done === 'function') began.then(() => done(), () => {}).catch(throwLater);
    return began;
  }

  async stop() {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    this.#since = Infinity;
    this.#isSelected = false;
    run.stop();
    await run.ended;
  }

  #begin() {
    this.#run = new Run();
    this.#run.ended = this.#go(this.#run);
  }

  async #go(run) {
    // Who listens may say so behind start().
    await null;
    const failed = error => this.#failed(run, error);
    try {
      const etcd = this.#client();
      await Promise.all([this.#follow(etcd, run).catch(failed), this.#campaign(etcd, run).catch(failed)]);
    } catch (error) {
      failed(error);
    }
  }

  #failed(run, error) {
    if (this.#run !== run) return;
    this.stop();
    run.reject(error);
    // Unheard, it is uncaught, as any emitter's.
    this.#tell('error', error);
  }

  /** Tells of whatever the key holds, beginning with now. */
  async #follow(etcd, run) {
    const { kvs, revision } = await etcd.getRange(this.#path, { signal: run.signal });
    for (const kv of kvs) this.#seen(run, kv.value.toString(), kv.modRevision);
    const mode = { startRevision: revision + 1, resync: true, ref: true, signal: run.signal };
    for await (const change of etcd.watch(this.#path, mode)) {
      // Whether it is ours is known when the write was answered.
      await this.#writing;
      if (run.signal.aborted) return;
      if (change.type === 'put') this.#seen(run, change.value.toString(), change.revision);
      else this.#gone();
    }
  }

  #seen(run, text, revision) {
    this.#revision = revision;
    this.#changed(text);
    if (!this.isSelected()) this.#deselect();
    else if (this.#isSelected) this.#tellText('refresh');
    else this.#select();
    this.#tellText('ping');
    run.resolve();
  }

  #gone() {
    this.#changed('');
    this.#deselect();
  }

  #changed(text) {
    if (text === this.#text) return;
    this.#text = text;
    this.#tellText('change');
  }

  #select() {
    this.#isSelected = true;
    this.#tellText('select');
    this.#tellText('selected');
  }

  #deselect() {
    if (!this.#isSelected) return;
    this.#isSelected = false;
    this.#tell('deselect');
  }

  #tellText(event) {
    const { id, value } = parsed(this.#text);
    this.#tell(event, value, id);
  }

  /** What a listener throws is uncaught, and nothing else suffers. */
  #tell(...event) {
    try {
      this.emit(...event);
    } catch (error) {
      throwLater(error);
    }
  }

  /** Wants the lock of the path, for as long as the run goes on. */
  async #campaign(etcd, run) {
    while (!run.signal.aborted) {
      try {
        const lock = await etcd.lock(this.#path, { ttl: this.#ttl, value: this.localdata(), signal: run.signal });
        await this.#lead(etcd, run, lock);
      } catch (error) {
        // Whoever starts it should know that no server is found.
        if (!mayPass(error) || (this.#text === null && !isLoss(error))) throw error;
        await pause(isLoss(error) ? 0.1 : this.#ttl / 2, run.signal);
      }
    }
  }

  /** Keeps the key, while the lock is held. */
  async #lead(etcd, run, lock) {
    this.#lock = lock;
    this.#since = Infinity;
    lock.once('lost', () => this.#deselect());
    const until = AbortSignal.any([run.signal, lock.signal]);
    try {
      const { lease = 0n } = await etcd.get(lock.key, { signal: until }) ?? {};
      while (!until.aborted) {
        const write = lock.guard(etcd.txn()).do(op.put(this.#path, this.localdata(), { lease })).commit({ signal: until });
        this.#writing = write.then(result => this.#written(until, result), () => {});
        await write.catch(error => { if (!mayPass(error)) throw error; });
        await pause(this.#ttl / 2, until);
      }
    } catch (error) {
      // What the end of it cut off is no failure.
      if (!until.aborted) throw error;
    } finally {
      await this.#leave(etcd, lock);
    }
  }

  #written(signal, { succeeded, revision }) {
    if (succeeded && !signal.aborted) this.#since = Math.min(this.#since, revision);
  }

  /** What can't be undone now ends with the lock's TTL. */
  async #leave(etcd, lock) {
    try {
      if (lock.isHeld) await lock.guard(etcd.txn()).do(op.delete(this.#path)).commit();
      await lock.release();
    } catch (error) {
      if (!mayPass(error)) throw error;
    }
  }
}

/** So many seconds, or until the signal is aborted. */
async function pause(seconds, signal) {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => {});
}

function answer(value, done) {
  if (typeof done === 'function') process.nextTick(done, null, value);
  return value;
}

/** Gives the client, opened when it is first wanted: a host that can't be is told by the event 'error'. */
function clientOf(hosts) {
  if (hosts instanceof Client) return () => hosts;
  const where = optionsOf(hosts);
  let client = null;
  return () => client ??= opened(where);
}

/** An etcdjs object has `_hosts`; other clients name theirs alike. */
function optionsOf(hosts) {
  if (hosts === undefined || typeof hosts === 'string' || Array.isArray(hosts)) return hosts;
  const { _hosts, hosts: many, host } = object(hosts, 'hosts, unless text or a list,');
  return _hosts ?? many ?? host ?? hosts;
}

function opened(where) {
  try {
    return new Client(where);
  } catch (error) {
    const [, scheme] = /^endpoint "(\w+:)\/\/.*: unknown scheme/.exec(error.message) ?? [];
    throw scheme === undefined ? error : new Error(`Invalid protocol: ${scheme}`, { cause: error });
  }
}

/** Nodes on the servers of a cluster, or on a client. */
function locked(hosts) {
  const client = clientOf(hosts);
  return (path, options) =>
    new Node(client, typeof path === 'string' ? { ...object(options, 'options'), path } : object(path, 'options'));
}

module.exports = locked;
