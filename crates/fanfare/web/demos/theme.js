// Runs before the first paint (a classic script in <head>), so that a chosen theme never flashes the other one.
// Without a choice the system's preference stands, through the stylesheet alone.
(() => {
  const KEY = 'fanfare.theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const system = () => (dark.matches ? 'dark' : 'light');
  const current = () => root.dataset.theme ?? system();

  let stored = null;
  try {
    stored = localStorage.getItem(KEY);
  } catch {
    // Storage may be forbidden; the toggle then lasts as long as the page.
  }
  if (stored === 'light' || stored === 'dark') root.dataset.theme = stored;

  function announce() {
    const button = document.getElementById('theme');
    button?.setAttribute('aria-label', current() === 'dark' ? 'Use the light theme' : 'Use the dark theme');
    dispatchEvent(new Event('themechange'));
  }

  function toggle() {
    const next = current() === 'dark' ? 'light' : 'dark';
    if (next === system()) delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === system()) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // As above.
    }
    announce();
  }

  dark.addEventListener('change', announce);
  document.addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme')?.addEventListener('click', toggle);
    announce();
  });
})();
