// Every word of the page, in both languages: [English, Chinese]. `{name}` is filled in by `say`.

const WORDS = {
  app: ["App", "应用"],
  allApps: ["All apps", "全部应用"],
  zone: ["Time zone", "时区"],
  zonesCommon: ["Common", "常用"],
  zonesAll: ["All", "全部"],
  language: ["Language", "语言"],
  themeAuto: ["Theme: as the system", "主题：跟随系统"],
  themeLight: ["Theme: light", "主题：浅色"],
  themeDark: ["Theme: dark", "主题：深色"],
  auto: ["Auto", "自动"],
  light: ["Light", "浅色"],
  dark: ["Dark", "深色"],

  numbers: ["Figures now and today", "当前与今日数据"],
  perSecond: ["msg/s", "条/秒"],
  nowPeople: ["now, {people} people active", "当前，{people} 人活跃"],
  messages: ["messages", "消息数"],
  messagesToday: ["messages today", "今日消息数"],
  peopleToday: ["people today", "今日人数"],
  people: ["people", "人数"],
  notDeliveredToday: ["not delivered today", "今日未送达"],
  versus: ["vs yesterday, same time", "较昨日同一时刻"],
  same: ["as yesterday, same time", "与昨日同一时刻相同"],
  noneBefore: ["nothing yesterday by this time", "昨日此时暂无数据"],
  tooEarly: ["too early to compare with yesterday", "时间尚早，无法与昨日比较"],
  unknownBefore: ["no number to compare with", "无可比数据"],
  points: ["{value} points", "{value} 个百分点"],
  estimated: ["estimated, ± {error}", "估算，± {error}"],

  liveTitle: ["Messages per second, last 15 minutes", "每秒消息数，最近 15 分钟"],
  todayTitle: ["Messages today by hour", "今日每小时消息数"],
  daysTitle: ["Last 30 days: messages (bars), people (line)", "最近 30 天：消息数（柱）、人数（线）"],
  byType: ["Messages by type", "消息数：按类型"],
  byPlatform: ["Messages by platform", "消息数：按平台"],
  byApp: ["Messages by app", "消息数：按应用"],
  byCommand: ["Callbacks by command", "回调数：按命令"],
  name: ["name", "名称"],
  number: ["number", "数量"],
  part: ["share", "占比"],
  others: ["{count} others", "其他 {count} 项"],
  noneToday: ["none today", "今日暂无"],

  today: ["today", "今天"],
  yesterday: ["yesterday", "昨天"],
  lastWeek: ["last week", "上周同日"],
  hour: ["hour", "时段"],
  day: ["day", "日期"],
  time: ["time", "时间"],
  unfinished: ["{label} so far", "{label}（进行中）"],
  asTable: ["Table", "表格"],
  asChart: ["Chart", "图表"],
  tableOf: ["Table: {title}", "表格：{title}"],
  asTableOf: ["Show as table: {title}", "以表格显示：{title}"],
  csvOf: ["Download as CSV: {title}", "下载 CSV：{title}"],
  noCharts: ["The chart library is not installed; run “make setup” with a network.", "图表库未安装；请联网运行 “make setup”。"],

  saidLive: ["{now} messages per second now; most in the last 15 minutes: {peak}.", "当前每秒 {now} 条消息；最近 15 分钟最高 {peak} 条。"],
  saidToday: ["{total} messages today, {change}; busiest hour {hour} with {peak}.", "今日 {total} 条消息，{change}；最忙时段 {hour}，{peak} 条。"],
  saidTodayNone: ["No messages today yet.", "今日暂无消息。"],
  saidMore: ["{value} more than yesterday by the same time", "比昨日同一时刻多 {value}"],
  saidFewer: ["{value} fewer than yesterday by the same time", "比昨日同一时刻少 {value}"],
  saidDays: ["{total} messages in 30 days; most on {day}: {peak} messages; most people in one day: {people}.", "30 天共 {total} 条消息；{day} 最多，{peak} 条；单日人数最多 {people}。"],

  pipeline: ["Pipeline", "处理链路"],
  gateway: ["Gateway", "网关"],
  receiving: ["Receiving", "接入"],
  on_disk: ["On disk", "落盘"],
  kafka: ["Kafka", "Kafka"],
  archive: ["Archive", "归档"],
  database: ["Database", "数据库"],
  counts: ["Counts", "统计"],
  webhook: ["Webhook", "推送"],
  dead_letters: ["Dead letters", "死信"],
  statistics: ["Statistics", "统计服务"],
  ok: ["all well", "一切正常"],
  warning: ["warning", "需要关注"],
  wrong: ["something is wrong", "出现故障"],
  unknown: ["not known", "未知"],
  stateOk: ["well", "正常"],
  stateWarning: ["warning", "注意"],
  stateWrong: ["wrong", "故障"],
  stateUnknown: ["not known", "未知"],
  runbook: ["Runbook", "处理手册"],
  replicas: ["{value} of {all} replicas", "{value} / {all} 个副本"],
  callbacks: ["{value} waiting", "{value} 条等待"],
  seconds: ["{value} s lag", "延迟 {value} 秒"],
  records: ["{value}", "{value} 条"],

  emptyTitle: ["No callback yet. Send one:", "还没有收到回调。发送一条试试："],
  emptyThen: ["It appears here within two seconds.", "两秒内会显示在这里。"],
  command: ["Command", "命令"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],

  updated: ["updated {seconds} s ago", "{seconds} 秒前更新"],
  noUpdate: ["Last update {seconds} s ago", "{seconds} 秒前更新"],
  reconnecting: ["Last update {seconds} s ago, reconnecting", "{seconds} 秒前更新，正在重连"],
  exact: ["People of a day: exact up to {limit} for each app", "每日人数：每个应用不超过 {limit} 人时精确"],
  exactWith: ["People: ≈ is estimated, ± {error}; those of a day are exact up to {limit} for each app", "人数：≈ 为估算，± {error}；每个应用每日不超过 {limit} 人时精确"],
  summaryCsv: ["Summary as CSV", "汇总 CSV"],
  contract: ["Contract", "接口约定"],
  unreadable: ["The statistics cannot be read: {reason} The figures below are those of {time}; this page tries again by itself.", "统计数据暂时无法读取：{reason}以下为 {time} 的数据；页面会自动重试。"],
  unreadableNone: ["The statistics cannot be read: {reason} This page tries again by itself.", "统计数据暂时无法读取：{reason}页面会自动重试。"],
  noAnswer: ["the statistics API does not answer.", "统计 API 无应答。"],
  noStore: ["the statistics API cannot read Valkey.", "统计 API 无法读取 Valkey。"],
  failed: ["the statistics API has a fault; its log has more.", "统计 API 出现故障，详见其日志。"],
  otherStatus: ["HTTP {status}.", "HTTP {status}。"],
  refusedApp: ["App {value} has no callbacks.", "应用 {value} 没有回调。"],
  refusedZone: ["{value} is not a time zone.", "{value} 不是有效的时区。"],
  refused: ["The statistics API refuses the parameter {parameter}.", "统计 API 拒绝了参数 {parameter}。"],
  showAll: ["Show all apps", "显示全部应用"],

  tokenTitle: ["This page needs a token", "访问此页面需要令牌"],
  tokenText: ["Ask your Hookline administrator; the token is in the file STATS_TOKENS_FILE. It is kept until this tab is closed.", "请向 Hookline 的管理员索取：它是 STATS_TOKENS_FILE 文件中的一行。仅保存到本标签页关闭为止。"],
  token: ["Token", "令牌"],
  tokenUse: ["Show the statistics", "查看统计"],
  tokenRefused: ["This token is not accepted.", "令牌无效。"],
};

// Names of the vendor that people know by another word. All other names are shown as they are.
const NAMES = {
  TIMTextElem: ["text", "文本"],
  TIMImageElem: ["image", "图片"],
  TIMSoundElem: ["voice", "语音"],
  TIMVideoFileElem: ["video", "视频"],
  TIMFileElem: ["file", "文件"],
  TIMLocationElem: ["location", "位置"],
  TIMFaceElem: ["sticker", "表情"],
  TIMCustomElem: ["custom", "自定义"],
  TIMRelayElem: ["forwarded", "合并转发"],
  RESTAPI: ["REST API", "REST API"],
  Unknown: ["not known", "未知"],
  other: ["other", "其他"],
};

let languageIndex = 0;

export function speak(language) {
  languageIndex = language === "zh" ? 1 : 0;
}

export function say(key, values = {}) {
  return WORDS[key][languageIndex].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// The word for one of the vendor's names; the name itself if there is no word for it.
export function nameOf(name) {
  return Object.hasOwn(NAMES, name) ? NAMES[name][languageIndex] : name;
}

// A text of the API that is there in both languages.
export function translated(words) {
  return languageIndex ? words.zh : words.en;
}
