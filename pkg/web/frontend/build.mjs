// Builds src/ into dist/assets with a hash of the content in every name, and
// dist/manifest.json from the logical names to the hashed ones. The Go package
// above embeds dist.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { build, transform } from 'esbuild'
import * as sass from 'sass'

const out = 'dist/assets'
const target = ['chrome109', 'safari15', 'firefox115']
const manifest = {}

mkdirSync(out, { recursive: true })

function emit (name, content) {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 10)
  const dot = name.lastIndexOf('.')
  manifest[name] = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`
  writeFileSync(`${out}/${manifest[name]}`, content)
}

async function script (name, format) {
  const { outputFiles } = await build({
    entryPoints: [`src/js/${name}`], bundle: true, minify: true, write: false, format, target, legalComments: 'none'
  })
  emit(name, outputFiles[0].contents)
}

const { css } = sass.compile('src/scss/app.scss', { loadPaths: ['node_modules'], style: 'compressed', quietDeps: true })
emit('app.css', (await transform(css, { loader: 'css', minify: true, target })).code)
emit('icon.svg', readFileSync('static/icon.svg'))
await script('boot.js', 'iife')
await script('app.js', 'esm')
writeFileSync('dist/manifest.json', JSON.stringify(manifest, null, 1) + '\n')

// What an earlier build left is removed last, so that a Go build beside this
// one finds every file that the manifest names.
const current = Object.values(manifest)
for (const name of readdirSync(out)) if (!current.includes(name)) rmSync(`${out}/${name}`)
