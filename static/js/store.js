// Where the outbox keeps its entries: IndexedDB, so that they outlive a reload, or memory where there is none.

/**
 * @typedef {object} Kept
 * @property {string} key as on the wire; the entry's name here too
 * @property {string} user who wrote it: nobody else ever sends it
 * @property {string} room
 * @property {number} at when it was written, milliseconds
 * @property {string} [failure] why it will not be sent; absent while it waits
 *
 * @typedef {{type?: 'send', text: string, reply?: string}} Written a new message
 * @typedef {{type: 'react', target: string, emoji: string, on: boolean}} Reacting
 * @typedef {{type: 'edit', target: string, text: string} | {type: 'retract', target: string} | Reacting} Change of a
 *   message that the server has
 * @typedef {Kept & (Written | Change)} Entry one thing that is not yet known to be kept by the server
 */

/** How many entries one person may have, in all tabs together. */
export const MAX_ENTRIES = 500;

/** The store takes no more of this person's entries. */
export class FullError extends Error {
  constructor() {
    super('too many messages are waiting');
  }
}

/**
 * @typedef {object} Store
 * @property {boolean} lasting whether entries outlive the page
 * @property {(entry: Entry, instead?: string) => Promise<boolean>} add puts an entry behind all others, in one step; resolves
 *   when it is kept. Where it replaces the one with this key, which is not there any more, nothing is kept, and it resolves
 *   to false. Throws FullError beyond MAX_ENTRIES
 * @property {(entry: Entry) => Promise<void>} update changes an entry where it stands; nothing happens when it is gone
 * @property {(key: string) => Promise<void>} remove
 * @property {(user: string) => Promise<Entry[]>} all a user's entries, oldest first
 */

/** @returns {Store} */
export function memoryStore() {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  return {
    lasting: false,
    async add(entry, instead) {
      if (instead !== undefined) {
        if (!entries.delete(instead)) return false;
      } else if ([...entries.values()].filter(({ user }) => user === entry.user).length >= MAX_ENTRIES) {
        throw new FullError();
      }
      entries.set(entry.key, { ...entry });
      return true;
    },
    async update(entry) {
      if (entries.has(entry.key)) entries.set(entry.key, { ...entry });
    },
    async remove(key) {
      entries.delete(key);
    },
    async all(user) {
      return [...entries.values()].filter((entry) => entry.user === user).map((entry) => ({ ...entry }));
    },
  };
}

/** @typedef {Entry & {order?: number}} Row */

/**
 * Opens the store of this browser. Where it may not be used (private windows, a full disk) it is one in memory.
 * @param {IDBFactory | undefined} factory
 * @returns {Promise<Store>}
 */
export async function openStore(factory) {
  if (!factory) return memoryStore();
  /** @type {IDBDatabase | null} */
  let database;
  try {
    database = await open(factory);
  } catch {
    return memoryStore();
  }

  /** The database, opened again where the browser closed it. */
  async function opened() {
    database ??= await open(/** @type {IDBFactory} */ (factory));
    // A later version of the page may want to change the store: do not stand in its way.
    database.onversionchange = () => {
      database?.close();
      database = null;
    };
    database.onclose = () => (database = null);
    return database;
  }

  /**
   * Runs one transaction; resolves when it is kept, on the disk.
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(rows: IDBObjectStore) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async function transact(mode, work) {
    const transaction = (await opened()).transaction('outbox', mode, { durability: 'strict' });
    const kept = new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(undefined);
      transaction.onabort = () => reject(transaction.error);
    });
    const [value] = await Promise.all([work(transaction.objectStore('outbox')), kept]);
    return value;
  }

  return {
    lasting: true,
    add: (entry, instead) =>
      transact('readwrite', async (rows) => {
        if (instead !== undefined) {
          const former = await result(rows.index('key').getKey(instead));
          if (former === undefined) return false;
          await result(rows.delete(former));
        } else if ((await result(rows.index('user').count(entry.user))) >= MAX_ENTRIES) {
          throw new FullError();
        }
        await result(rows.add({ ...entry }));
        return true;
      }),
    update: (entry) =>
      transact('readwrite', async (rows) => {
        /** @type {Row | undefined} */
        const row = await result(rows.index('key').get(entry.key));
        if (row?.order !== undefined) await result(rows.put({ ...entry, order: row.order }));
      }),
    remove: (key) =>
      transact('readwrite', async (rows) => {
        const order = await result(rows.index('key').getKey(key));
        if (order !== undefined) await result(rows.delete(order));
      }),
    all: (user) =>
      transact('readonly', async (rows) => {
        /** @type {Row[]} */
        const found = await result(rows.index('user').getAll(user));
        return found.map(({ order: _, ...entry }) => entry);
      }),
  };
}

/**
 * @param {IDBFactory} factory
 * @returns {Promise<IDBDatabase>}
 */
function open(factory) {
  const opening = factory.open('chatd', 1);
  opening.onupgradeneeded = () => {
    // The order in which entries were added, in whatever tab, is the key.
    const rows = opening.result.createObjectStore('outbox', { keyPath: 'order', autoIncrement: true });
    rows.createIndex('key', 'key', { unique: true });
    rows.createIndex('user', 'user');
  };
  return result(opening);
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
