// The command as a process: without a terminal, as a program reads it, and interrupted.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { atTheEnd } from '../../test/support/leftovers.ts'
import { commandLine } from '../../test/support/leveret-process.ts'
import { runLeveret } from '../../test/support/run-leveret.ts'
import { removeFolder, temporaryFolder } from '../../test/support/temporary-folder.ts'
import type { DemoSummary } from './demo/summary.ts'

let folder: string

beforeAll(() => {
  folder = temporaryFolder('demo')
})

afterAll(() => removeFolder(folder))

describe('leveret demo', () => {
  it('prints lines and a summary without control sequences where there is no terminal', async () => {
    const { code, stdout, stderr } = await runLeveret(['demo', '--seconds', '1'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^ {2}1 s /)
    expect(stdout).toContain('What you saw, in ')
    expect(stdout).toContain('leveret demo --data ./demo')
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u)
  })

  it('prints the summary alone as JSON, and works on a folder', async () => {
    const at = join(folder, 'data')
    const { code, stdout, stderr } = await runLeveret(['demo', '--seconds', '1', '--json', '--data', at])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const summary = JSON.parse(stdout) as DemoSummary
    expect(summary).toMatchObject({ where: at, stopped: false, queue: { found: 0, left: 0 } })
    expect(summary.queue.processed + summary.queue.deadLettered).toBe(summary.queue.sent)
    const listed = await runLeveret(['queues', '--at', at, '--json'])
    expect(listed.stdout).toContain('"name":"demo.photos"')
  })

  it('ends in order when it is interrupted, with what there was to see', async () => {
    const child = spawn(process.execPath, [commandLine, 'demo', '--seconds', '60'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const forget = atTheEnd(() => child.kill('SIGKILL'))
    let stdout = ''
    child.stdout.on('data', (chunk: Buffer) => {
      if (stdout === '') child.kill('SIGINT')
      stdout += chunk.toString()
    })
    const code = await new Promise((resolve) => child.on('close', resolve))
    forget()
    expect(code).toBe(0)
    expect(stdout).toContain('Stopped after ')
  })

  it('says what it does not understand, or cannot have', async () => {
    const bad = await runLeveret(['demo', '--seconds', '0'])
    expect(bad).toMatchObject({ code: 2, stdout: '' })
    expect(bad.stderr).toContain("--seconds is '0'")
  })
})
