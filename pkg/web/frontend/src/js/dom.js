// element makes an element with properties, attributes written with a dash or
// as role, and children.
export function element (tag, props = {}, ...children) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (name.includes('-') || name === 'role') e.setAttribute(name, value)
    else e[name] = value
  }
  e.append(...children)
  return e
}
