// The page that says "try again later" does so by itself. Its markup asks for that too, but browsers take that for a
// step within the page where the address has a fragment, as those of conversations have.

/** The wait, in milliseconds, of which the second part is random. */
const WAIT_MS = 3_000;
const SPREAD_MS = 3_000;

if (location.hash !== '') setTimeout(() => location.reload(), WAIT_MS + Math.random() * SPREAD_MS);
