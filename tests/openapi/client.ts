// A mini-program's client over wx.request, typed by what `menlou typescript` printed. It is checked by tsc and never run.

import type { Call, Data, Envelope, ErrorCode, Failure } from './types'

declare const wx: {
  request<Answer>(options: {
    url: string
    method: 'POST'
    data?: unknown
    header?: Record<string, string>
    success(answer: { data: Answer }): void
    fail(reason: unknown): void
  }): void
}

let token = ''

export const call: Call = (action, ...[params]) =>
  new Promise((resolve, reject) =>
    wx.request<Envelope<Data<typeof action>>>({
      url: `https://api.example.com/srv/manulife/${action}`,
      method: 'POST',
      data: params,
      header: token ? { Authorization: `Bearer ${token}` } : {},
      success: ({ data }) => (data.code === 1 ? resolve(data.data) : reject(data)),
      fail: reject,
    }),
  )

export async function enter(code: string): Promise<string> {
  const { user, session } = await call('openid', { code })
  token = session.token
  const expires: number = session.expires_in
  if (user === null) {
    const loggedIn = await call('login', { method: 'profile', name: `${expires}` })
    return loggedIn.user.name
  }
  return user.name
}

export async function leave(): Promise<void> {
  await call('user')
  await call('logout', { unbind: true })
}

export function explain(failure: Failure): string {
  const code: ErrorCode = failure.error
  return code === 'code_used' || code === 'a_plugins_own' ? failure.msg : code
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error There is no such action.
  await call('oepnid', {})
  // @ts-expect-error A parameter that is needed is missing.
  await call('login', {})
  // @ts-expect-error A login can't be left without its parameters.
  await call('login')
  // @ts-expect-error There is no such method.
  await call('login', { method: 'magic' })
  // @ts-expect-error A misspelt parameter.
  await call('openid', { cod: 'x' })
  // @ts-expect-error The user may be null.
  const name: string = (await call('openid', { code: 'x' })).user.name
  void name
}
