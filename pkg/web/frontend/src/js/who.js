// Who uses this phone, and what it remembers for them. Both are gone when they
// sign out; without storage nothing is remembered and everything else works.

const hour = 3600e3

export function recall (key) {
  try {
    return JSON.parse(localStorage.getItem(key))
  } catch {
    return null
  }
}

export function remember (key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value))
  } catch { /* nothing is remembered */ }
}

// person returns by what the phone knows who is signed in, "" for nobody.
export function person () {
  const who = recall('person')
  return who && who.until > Date.now() ? who.person : ''
}

// isMine reports whether whoever is signed in may see a row.
export const isMine = row => !row.person || row.person === person()

export function forget () {
  try {
    localStorage.clear()
  } catch { /* nothing was remembered */ }
}

// learn asks the server who is signed in. A page that was kept on the phone
// names nobody: it gets the links that they may open.
export async function learn () {
  const answer = await fetch('/report/who').catch(() => ({}))
  if (!answer.ok) return
  const { person, nav } = await answer.json()
  remember('person', { person, until: Date.now() + hour })
  if (person) document.querySelector('.app-footer a[href="/sign-in/"]')?.parentElement.remove()
  const list = document.querySelector('.app-nav ul')
  const links = [...list.querySelectorAll('a')]
  if (links.map(a => a.getAttribute('href')).join() === nav.map(n => n.href).join()) return
  list.replaceChildren(...nav.map(({ href, text }) => {
    const a = Object.assign(document.createElement('a'), { href, textContent: text })
    if (href === '/report/') a.setAttribute('aria-current', 'page')
    const item = document.createElement('li')
    item.append(a)
    return item
  }))
}
