/**
 * The interface of the npm module `locked`: distributed consensus on a single value. Of many nodes with the same path
 * one is selected, fairly; while it is, the path's key holds `ID:::VALUE`, under the lease of its lock.
 *
 * @example
 * const locked = require('etcd-api/locked');
 * const node = locked('10.0.0.1:2379,10.0.0.2:2379')({ path: '/master', value: '10.0.0.7:80', ttl: 10 });
 * node.on('select', () => console.log('this server is the master'));
 * node.on('deselect', () => console.log('it is not any more'));
 * node.start();
 */

/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { Client, OpenOptions } from './index.js';

/**
 * A locker of some servers. `hosts`: as in `open()`, so a string or an array, where ports are 2379 unless given; nothing:
 * what the environment says. Or a client that was opened, an etcdjs object, or another one with `hosts` or `host`.
 */
declare function locked(hosts?: string | string[] | Client | OpenOptions | locked.NamesHosts): locked.Locker;

declare namespace locked {
  /** As etcdjs does. */
  interface NamesHosts { _hosts?: string[]; hosts?: string | string[]; host?: string }

  interface NodeOptions {
    /** What the node stands for; stored while it is selected. Neither 0 nor empty. */
    value: unknown;
    /** Its name; six hex digits unless set. */
    id?: string;
    /** Seconds, 10 unless set: how long it stays selected after it died. */
    ttl?: number;
  }

  interface Locker {
    /** @throws Error: 'path must be specified', 'value must be specified'. */
    (options: NodeOptions & { path: string }): Node;
    (path: string, options: NodeOptions): Node;
  }

  type Answer = (error: null, text: string | null) => void;
  type OfText = 'change' | 'select' | 'selected' | 'refresh' | 'ping';

  interface Node extends EventEmitter {
    /**
     * Begins to want to be selected, and to follow who is. `done` is called, and the promise resolves, when it is known
     * who is selected. Keeps the process alive until `stop()`.
     */
    start(done?: () => void): Promise<void>;
    /** Ends that: it is not selected any more, and tells nothing more. The promise resolves when the next one may be. */
    stop(): Promise<void>;
    /** The id that is stored; null before anything was seen, '' when there is none. Calls back, too, if asked to. */
    id(done?: Answer): string | null;
    /** The value that is stored, as `id()`. */
    value(done?: Answer): string | null;
    localid(): string;
    localvalue(): unknown;
    /** `ID:::VALUE` */
    localdata(): string;
    /** Whether this node is selected, for sure. */
    isSelected(): boolean;

    /**
     * 'change': something else is stored, by whomever; both are '' when it is gone. Before 'select' and 'deselect'.
     * 'select', and the same once more as 'selected': this node is selected. 'refresh': it still is, every half TTL.
     * 'ping': something was stored, by whomever, also when it is the same as before.
     */
    on(event: OfText, listener: (value: string, id: string) => void): this;
    /** It is not selected any more; told before another one can be. */
    on(event: 'deselect', listener: () => void): this;
    /**
     * It can't go on, and is stopped: no server could be reached at its start, it may not do what it has to, or the
     * servers are another cluster by now, or were restored from a backup. `start()` begins anew.
     */
    on(event: 'error', listener: (error: Error) => void): this;
    once(event: OfText, listener: (value: string, id: string) => void): this;
    once(event: 'deselect', listener: () => void): this;
    once(event: 'error', listener: (error: Error) => void): this;
  }
}

export = locked;
