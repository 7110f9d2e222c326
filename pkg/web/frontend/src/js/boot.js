// Runs before the page is painted, so that what only script can open is hidden
// from the start and nothing shifts. If the program itself does not arrive,
// everything is shown again and the page works without it.
const root = document.documentElement
if ('noModule' in HTMLScriptElement.prototype) {
  root.classList.add('js-enabled')
  addEventListener('error', e => {
    if (e.target instanceof HTMLScriptElement) root.classList.remove('js-enabled')
  }, true)
}
