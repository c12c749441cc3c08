// What one tells who runs the server: where this page is connected, how well, and how far it has come.

import { text } from '../strings.js';
import { dialog } from './dialog.js';
import { make } from './dom.js';

/**
 * @typedef {object} Diagnosis
 * @property {string} instance
 * @property {string} state
 * @property {import('../connection.js').Facts} facts
 * @property {{room: string, at: number} | null} gap
 * @property {number} waiting
 * @property {Array<{label: string, seq: number}>} rooms
 */

/** How often it is looked at anew while it is open, in milliseconds. */
const AGAIN_MS = 2_000;

export class Diagnostics {
  #diagnose;
  #measure;
  #list = make('dl', { class: 'facts' });
  #rooms = make('tbody');
  #dialog;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {() => Diagnosis} diagnose
   * @param {() => Promise<unknown>} measure asks the server something, so that the round trip is one of now
   */
  constructor(diagnose, measure) {
    this.#diagnose = diagnose;
    this.#measure = measure;
    const head = make('tr', {}, make('th', {}, text.room), make('th', {}, text.position));
    for (const cell of head.children) cell.setAttribute('scope', 'col');
    const table = make('table', {}, make('thead', {}, head), this.#rooms);
    this.#dialog = dialog('diagnostics', text.diagnostics, this.#list, table);
    this.#dialog.addEventListener('close', () => clearInterval(this.#timer));
  }

  open() {
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    const look = () => {
      this.#show();
      // An answer that comes late is shown by the next look.
      this.#measure().then(() => this.#dialog.open && this.#show(), () => {});
    };
    look();
    this.#timer = setInterval(look, AGAIN_MS);
  }

  #show() {
    const { instance, state, facts, gap, waiting, rooms } = this.#diagnose();
    const { lost } = facts;
    const rows = {
      [text.instanceLabel]: instance,
      [text.stateLabel]: /** @type {Record<string, string>} */ (text.states)[state] ?? state,
      [text.roundTrip]: facts.roundTripMs === null ? text.none : text.milliseconds(facts.roundTripMs),
      [text.lastLoss]: !lost ? text.none : text.loss(new Date(lost.at), lost.lasted, lost.code),
      [text.resumes]: text.number(facts.resumes),
      [text.moves]: text.number(facts.moves),
      [text.lastGap]: !gap ? text.none : text.gap(gap.room, new Date(gap.at)),
      [text.waitingMessages]: text.number(waiting),
    };
    this.#list.replaceChildren(...Object.entries(rows).flatMap(([term, fact]) => [make('dt', {}, term), make('dd', {}, fact)]));
    this.#rooms.replaceChildren(...rooms.map(({ label, seq }) => make('tr', {}, make('td', {}, make('bdi', {}, label)), make('td', {}, text.number(seq)))));
  }
}
