'use strict';
// A completion queue of the library, taken by the event loop: a pipe says when there is something, one call then
// takes as much as fits into a buffer. Nothing of the library ever calls into JavaScript, and no thread of Node waits.

const net = require('node:net');
const { isMainThread } = require('node:worker_threads');
const records = require('./records.js');
const { errorOf, takeError, closed, NO_RESOURCE, TOO_LARGE } = require('./errors.js');

/** As much as is taken in one turn of the event loop: some hundred small events, about a millisecond. */
const BUFFER = 64 * 1024;
/** A larger buffer is kept for the next large event only up to here. */
const KEPT = 4 * 1024 * 1024;

const aligned = length => {
  const buffer = Buffer.from(new ArrayBuffer(length));
  return { buffer, view: new DataView(buffer.buffer) };
};

// Taking is never nested, so all queues of a thread share one buffer, and the places of what C gives back.
const small = aligned(BUFFER);
let large = null;
const used = new BigUint64Array(1);
const count = new Uint32Array(1);
const pointer = new BigUint64Array(1);
const wakeUp = Buffer.alloc(64);

/** What a callback of the program threw: told as if nobody had been in between, and nothing else suffers. */
function throwLater(error) {
  queueMicrotask(() => { throw error; });
}

/** A place for records of at least this length. */
function roomFor(length) {
  if (large === null || large.buffer.length < length) large = aligned(2 ** Math.ceil(Math.log2(length)));
  return large;
}

/**
 * Who waits for a tag has `record(record)`, called for each record, `fail(error)`, called when none can come any more
 * or one could not be read, and `holds`: whether the process is to stay alive until the last one.
 */
class Queue {
  #raw;
  #client;
  #queue;
  #socket = null;
  #waiting = new Map();
  #lastTag = 0;
  #held = 0;
  #isKept = false;
  #onIdle = null;
  #isPaused = false;
  #hasMore = false;

  constructor(raw, client, maxBytes = 0) {
    this.#raw = raw;
    this.#client = client;
    pointer[0] = 0n;
    const status = raw.queueNew(maxBytes, pointer, null);
    if (status !== 0) throw errorOf({ status, message: 'no queue could be made' });
    this.#queue = pointer[0];
    // worker.terminate() ends a thread without a word to what runs in it.
    if (!isMainThread) raw.freeWithThread(client, this.#queue);
  }

  /** How many have not ended. */
  get size() {
    return this.#waiting.size;
  }

  /** Starts a request; gives its tag. */
  submit(request, timeout, waiter) {
    if (this.#queue === null) throw closed('the client');
    if (this.#socket === null) this.#listen();
    const tag = this.#lastTag + 1;
    const status = this.#raw.submit(this.#client, this.#queue, request, tag, timeout, pointer);
    if (status !== 0) throw takeError(this.#raw, pointer[0], status);
    this.#lastTag = tag;
    this.#waiting.set(tag, waiter);
    if (waiter.holds) this.#hold();
    return tag;
  }

  cancel(tag) {
    if (this.#queue !== null) this.#raw.queueCancel(this.#queue, tag);
  }

  /** The reply that a record could not carry, walked by `walk` and freed. */
  takeReply(tag, walk) {
    if (this.#raw.queueTakeReply(this.#queue, tag, pointer) !== 0) throw new Error(`no reply of tag ${tag}`);
    const reply = pointer[0];
    try {
      return walk(this.#raw, reply);
    } finally {
      this.#raw.replyFree(reply);
    }
  }

  /** What is held by a tag, for etcd_hold_free(); null: nothing (any more). */
  takeHold(tag) {
    return this.#raw.queueTakeHold(this.#queue, tag, pointer) === 0 ? pointer[0] : null;
  }

  /** Whether a tag keeps the process alive, from now on. */
  setHold(tag, holds) {
    const waiter = this.#waiting.get(tag);
    if (waiter === undefined || waiter.holds === holds) return;
    waiter.holds = holds;
    if (holds) this.#hold();
    else this.#release();
  }

  /** Keeps the process alive while the queue is there, or, as at first, only while something that holds it is open. */
  ref() {
    if (this.#queue === null) return;
    if (this.#socket === null) this.#listen();
    this.#isKept = true;
    this.#socket.ref();
  }

  unref() {
    this.#isKept = false;
    if (this.#held === 0) this.#socket?.unref();
  }

  /** Resolves when nothing is open any more, or after so many milliseconds. */
  idle(timeout) {
    if (this.#waiting.size === 0) return Promise.resolve();
    return new Promise(resolve => {
      const timer = setTimeout(resolve, timeout);
      this.#onIdle = () => { clearTimeout(timer); resolve(); };
    });
  }

  /** Leaves events where they are, in the library, which keeps as many as the queue may have. */
  pause() {
    this.#isPaused = true;
  }

  /** Takes them again, in a turn of its own: whoever asks may be in the middle of something. */
  resume() {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#hasMore) setImmediate(() => this.#drain());
  }

  /** Ends everything at once, and tells nobody: the process ends. */
  drop() {
    if (this.#queue === null) return;
    this.#raw.queueFree(this.#queue);
    this.#queue = null;
  }

  /** Ends everything at once; those who wait are told by `fail`. */
  free(error = closed('the client')) {
    if (this.#queue === null) return;
    this.#socket?.destroy();
    this.drop();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#held = 0;
    for (const waiter of waiting) waiter.fail(error);
  }

  #listen() {
    const fd = this.#raw.queueDupFd(this.#queue);
    if (fd < 0) throw errorOf({ status: NO_RESOURCE, message: 'no descriptor for the queue: are too many files open?' });
    // It closes what it is given, so this is a copy. What it reads only says that there is something.
    const onread = { buffer: wakeUp, callback: () => { this.#hasMore = true; this.#drain(); return true; } };
    this.#socket = new net.Socket({ fd, readable: true, writable: false, onread });
    this.#socket.unref();
    // Whoever closes descriptors that are not his: better an error than promises that nobody keeps.
    const broken = error => this.free(errorOf({
      status: NO_RESOURCE, message: `the queue's descriptor broke (${error?.message ?? 'it was closed'})`,
    }));
    this.#socket.on('error', broken);
    this.#socket.on('close', () => broken());
  }

  #hold() {
    if (this.#held++ === 0) this.#socket.ref();
  }

  #release() {
    if (--this.#held === 0 && !this.#isKept) this.#socket?.unref();
  }

  /** Takes one buffer. What is left makes the pipe readable again, so that all else in the loop gets its turn. */
  #drain() {
    if (this.#queue === null || this.#isPaused) return;
    let room = small;
    let status = this.#raw.queueRead(this.#queue, room.buffer, BUFFER, used, count);
    if (status === TOO_LARGE) {
      room = roomFor(Number(used[0]));
      status = this.#raw.queueRead(this.#queue, room.buffer, room.buffer.length, used, count);
    }
    if (status !== 0) throw errorOf({ status, message: 'the queue could not be read: please report it' });
    this.#hasMore = count[0] > 0;
    this.#deliver(room, Number(used[0]));
    if (large !== null && large.buffer.length > KEPT) large = null;
  }

  #deliver({ buffer, view }, end) {
    for (let at = 0; at < end && this.#queue !== null; at += records.sizeOf(view, at)) {
      const tag = records.tagOf(view, at);
      const waiter = this.#waiting.get(tag);
      if (waiter === undefined) continue;
      if (records.isLast(view, at)) {
        this.#waiting.delete(tag);
        if (waiter.holds) this.#release();
        if (this.#waiting.size === 0) this.#onIdle?.();
      }
      this.#tell(waiter, view, buffer, at);
    }
  }

  #tell(waiter, view, buffer, at) {
    let record;
    try {
      record = records.read(view, buffer, at);
    } catch (error) {
      return waiter.fail(error);
    }
    try {
      waiter.record(record);
    } catch (error) {
      throwLater(error);
    }
  }
}

module.exports = { Queue, throwLater };
