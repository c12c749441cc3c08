// What reaches people who do not look: the desktop's notifications and a sound.

/** Whether this browser knows notifications at all. */
export const canNotify = 'Notification' in globalThis;

/**
 * Shows a notification; null where that may not be.
 * @param {string} title
 * @param {{body: string, tag: string, icon: string, click: () => void}} with_ of one tag, only the last is shown
 */
export function notify(title, { body, tag, icon, click }) {
  if (!canNotify || Notification.permission !== 'granted') return null;
  try {
    // The sound is ours to make, or not.
    const shown = new Notification(title, { body, tag, icon, silent: true });
    shown.onclick = () => {
      globalThis.focus();
      click();
      shown.close();
    };
    return shown;
  } catch {
    return null; // phones allow it to service workers only
  }
}

/** @type {AudioContext | null} */
let audio = null;

/** Two soft notes. */
export function chime() {
  audio ??= new AudioContext();
  // Until somebody has touched the page, browsers allow no sound.
  void audio.resume().catch(() => {});
  const gain = audio.createGain();
  gain.connect(audio.destination);
  const now = audio.currentTime;
  gain.gain.setValueAtTime(0, now);
  gain.gain.linearRampToValueAtTime(0.08, now + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.0001, now + 0.5);
  for (const [hertz, at] of /** @type {const} */ ([[660, 0], [880, 0.12]])) {
    const note = audio.createOscillator();
    note.frequency.value = hertz;
    note.connect(gain);
    note.start(now + at);
    note.stop(now + 0.5);
  }
}
