"""Terms of documents in scripts without spaces, whole, by how their characters stand together in the document.

Japanese changes its script where a word ends. Elsewhere a term is a run of characters that comes again, with one
neighbour here and another there, and whose halves stand together more often than chance would have it (Chien 1997;
Jin and Tanaka-Ishii 2006). What a document says once is no term of it by this evidence.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

HAN = "\u3400-\u9fff\uf900-\ufaff々〆"
KATAKANA = "\u30a1-\u30faー"
MIN_TIMES, MIN_TIMES_SHORT, SHORT = 3, 2, 4000  # that a run stands in a document, and in one of so few characters
MAX_UNITS = 8  # of a run: characters of Chinese, others with the marks that stand on them
MIN_COHESION = 12.0  # how many times more often than by chance its parts stand together
FEW_BREAKS = 60  # characters for each place where a line may break: fewer than that show words
NO_LETTERS = re.compile("^|$|[^\u0e01-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f\u104c-\u109f\u1780-\u17d3\u17dd]+")
FIRST_SIGN = 0xF0000  # of those that stand for characters with marks
MOSTLY, FEW_WAYS = 0.8, 2  # of a run's occurrences, in so many longer ones, make it a part of those
NO_WIDTH = re.compile("[\u200b-\u200d\u2060\ufeff]")
HAN_RUN = re.compile(f"[{HAN}]{{2,}}")
SOUTHEAST_RUN = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df]{3,}")
UNIT = re.compile(
    "[เแโใไເແໂໃໄ]?[ก-ฮກ-ຮ\u1000-\u102a\u1780-\u17b3ๆໆ](?:[\u17d2\u1039][\u1000-\u102a\u1780-\u17b3])*"
    "[ะ-ฺ็-๎ະ-ຼ່-໎\u102b-\u1038\u103a-\u103e\u17b4-\u17d1\u17dd]*(?:[\u1000-\u102a][\u103a\u1037]+\u1038?)*|."
)
SPLIT_ZH = re.compile(
    "[的了是在和与與或及对對为為以从從到把被将將请請并並也都就而且着過过很再会會能可应應不没沒有无無这這那其此该該每各若如则則"
    "但所等让讓给給由于於即仅僅只已经經还還又更最当當个個种種些某它他她你我您们們]"
    "|时(?![间候区钟刻])|時(?![間候區鐘刻])|里面|裡面|上面|下面|来(?!源)|來(?!源)|需要|因[为為]|按照|直到|[进進]行|使用|可以|通[过過]|[运運]行|提供|例如|以及|之[前后後间間]|一[个個些种種]"
)
EDGE_ZH = frozenset(
    "向上下中内內外里前后後多少大小新旧舊同第几幾数數二两兩三四五六七八九十做用说說看想要去来來得地之一"
)
SPLIT_SEA = re.compile(
    "และ|หรือ|ที่|ของ|ใน(?!ต)|ให้|ว่า|แล้ว|เป็น|ได้|(?<!ร)จะ|ไม่|(?<![งร])กับ(?!ดัก)|จาก|โดย|เพื่อ|ก่อน|หลัง(?!ค)|อยู่|ไว้|ต้อง|เมื่อ|ถ้า|ซึ่ง|คือ|นี้|นั้น|ตาม"
    "|สามารถ|หาก|คุณ|แต่|ด้วย|การ(?=เ)|ทุก|บาง|ยัง|จึง|มี|ถูก|กำลัง|สำหรับ|เท่านั้น|อีก|ใดๆ|ใด|เหล่า|ซ้ำ|ๆ"
    "|ແລະ|ຫຼື|ທີ່|ຂອງ|ໃນ|ໃຫ້|ວ່າ|ແລ້ວ|ເປັນ|ໄດ້|ຈະ|ບໍ່|ກັບ|ຈາກ|ໂດຍ|ເພື່ອ|ກ່ອນ|ຫຼັງ|ຢູ່|ໄວ້|ຕ້ອງ|ເມື່ອ|ຖ້າ|ຊຶ່ງ"
    "|និង|ឬ|ដែល|របស់|ក្នុង|ឲ្យ|ឱ្យ|ថា|ហើយ|ជា|បាន|នឹង|មិន|ជាមួយ|ពី|ដោយ|ដើម្បី|មុន|ត្រូវ|នៅ|លើ|នេះ|នោះ|នៃ|គឺ|មាន|ទៅ|អ្នក|មួយ|ទាំង|សម្រាប់|ប្រសិនបើ|បើ(?!ក)|ចង់|ដូច(?:ខាងក្រោម)?|តែ|ប៉ុណ្ណោះ|ដទៃទៀត|ផ្សេងទៀត|អាច|សូម|តាម|នីមួយៗ|ណាមួយ|គ្រប់|រវាង|ឧទាហរណ៍"
    "|သည်|ကို|မှ|တွင်|နှင့်|သော|၏|များ|ဖြင့်|အတွက်|ပါ|၍|လျှင်|ရန်|မည်|ပြီး|ခြင်း(?=ကို)|[០-៩๐-๙໐-໙၀-၉។៖၊။]+"
)
TERM_JA = re.compile(f"[{HAN}{KATAKANA}](?:[{HAN}{KATAKANA}]|・(?=[{KATAKANA}]))+")
SUFFIXES_JA, NO_END_JA = "上中時後前毎等内間", "的又以回毎"
KANA = re.compile(f"[{KATAKANA}]")
NOUN = re.compile(r"(?![ぁ-ゟ])|は|が|を|の|と|も|や|へ|から|まで|より|など|で(?!き)|に(?!よ)|です|だ|か")
LEADS_ON = re.compile("[なしすさせ]|でき|的")
DIGITS_JA = re.compile(f"[一二三四五六七八九十百千数各何両同全第約他当本次新旧再未諸毎](?=[{HAN}])")
_GENERAL = """
    場合 方法 使用 必要 可能 以下 以上 以外 以前 以降 以内 上記 下記 自身 一般 通常 多数 複数 参照 利用 対応 指定
    情報 内容 部分 全体 現在 問題 種類 状態 変更 実行 作成 注意 警告 重要 備考 注記 説明 概要 提供 確認 追加 削除
    選択 表示 処理 動作 機能 目的 結果 理由 意味 関係 存在 適切 簡単 便利 最初 最後 最新 最近 直接 自動 手動 基本
    特定 個別 相互 同様 同時 実際 詳細 推奨 標準 環境 形式 項目 要素 対象 条件 範囲 単位 位置 方向 程度 一部 全部
    全員 自分 他人 人々 作業 手順 手段 操作 準備 開始 終了 完了 停止 中止 継続 維持 管理 制御 設定 用意 導入 適用
    採用 考慮 検討 判断 理解 意識 期待 想定 希望 要求 依頼 許可 禁止 制限 ファイル コマンド プログラム 番目 名前
    文字 オプション バージョン 文件 命令 选项 名称 类型 版本 普通 例子 步骤 信息 什么 怎样 虽然 按下面 檔案 選項
    名稱 類型 步驟 資訊 訊息 什麼 ケース サイズ タイプ ヒント ティップ リスト システム データー データ 注意点 ことが
    皆様 非常 特別 現状 今後 今回 当初 初期 可以 需要 进行 通过 例如 以及 如果 因为 所以 但是 由于 情况 问题 必须
    应该 提示 说明 参见 参考 如下 其中 其他 其它 它们 我们 你们 他们 这些 那些 某些 多个 一些 不同 相同 相关 有关
    主要 简单 复杂 具体 自动 手动 最后 首先 然后 接着 同时 目前 现在 当前 之后 之前 时候 时间 地方 方式 东西 结果
    原因 作用 功能 任何 所有 整个 每个 各个 许多 很多 大量 少量 增加 减少 开始 结束 完成 执行 运行 处理 控制 设置
    选择 显示 检查 确认 修改 更改 变更 删除 添加 创建 建立 生成 产生 获得 取得 得到 采用 应用 支持 允许 避免 包含
    包括 属于 出现 发生 认为 知道 了解 尝试 建议 推荐 默认 缺省 标准 正常 正确 错误 能够 不能 不会 没有 預設 檢查
    選擇 顯示 執行 運行 處理 刪除 創建 產生 獲得 應用 支援 允許 屬於 出現 發生 認為 嘗試 建議 推薦 正確 錯誤 能夠
    時間 東西 許多 結束 情況 說明 參見 參考 它們 我們 這些 多個 相關 有關 簡單 複雜 具體 然後 接著 當前 之後 時候
    การ ความ ผู้ใช้ ดังนี้ ต่อไปนี้ ข้อมูล ตัวอย่าง วิธีการ วิธี ใช้งาน ใช้ ทำงาน การใช้งาน การทำงาน รายการ เช่น
    อื่น ดังนั้น เพิ่มเติม ปัจจุบัน ระบบ
"""
GENERAL = frozenset(_GENERAL.split())
"""Words that name no subject by themselves."""


def without_width(text: str) -> str:
    """A text without the characters that show where a line may break within words."""
    return NO_WIDTH.sub("", text)


def unspaced_terms(texts: Sequence[str], language: str) -> dict[str, int]:
    """The terms of a document's passages, with the number of times that each stands in it."""
    if language == "ja":
        found = _japanese(texts)
    elif language.startswith("zh"):
        runs = [part for run in _runs(texts, HAN_RUN) for part in SPLIT_ZH.split(run)]
        found = {t: n for t, n in _repeated(runs).items() if t[0] not in EDGE_ZH and t[-1] not in EDGE_ZH}
    else:
        found = {term: number for term, number in _southeast(map(without_width, texts)).items() if len(term) > 3}
        found = _between_breaks(found, "\n".join(texts))
    return {term: number for term, number in found.items() if term not in GENERAL}


def _runs(texts: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    return [run for text in texts for run in pattern.findall(text)]


def _japanese(texts: Iterable[str]) -> dict[str, int]:
    """Runs of Han and katakana that stand as nouns do: in front of a particle, a mark or another script."""
    times: Counter[str] = Counter()
    as_nouns: Counter[str] = Counter()
    for text in texts:
        for match in TERM_JA.finditer(text):
            term, end = match[0], match.end()
            if len(term) > 2 and term[-1] in SUFFIXES_JA and KANA.match(term, len(term) - 2):
                term = term[:-1]
            times[term] += 1
            is_noun = NOUN.match(text, end) is not None and not LEADS_ON.match(text, end)
            as_nouns[term] += is_noun
    return {
        term: number
        for term, number in times.items()
        if 2 * as_nouns[term] > number
        and term[-1] not in NO_END_JA
        and not DIGITS_JA.match(term)
        and 2 <= len(term) <= 16
    }


def _between_breaks(terms: Mapping[str, int], text: str) -> dict[str, int]:
    """Terms that begin and end where a text shows that its words do, if it does so; all of them in other texts."""
    parts = NO_WIDTH.split(text)
    if len(parts) * FEW_BREAKS < len(text):
        return dict(terms)
    plain, breaks = "".join(parts), set(accumulate(map(len, parts)))
    breaks |= {place for match in NO_LETTERS.finditer(plain) for place in match.span()}

    def is_whole(term: str) -> bool:
        places = _places(term, plain)
        return 2 * sum(at in breaks and at + len(term) in breaks for at in places) > len(places)

    return {term: number for term, number in terms.items() if is_whole(term)}


def times_in(term: str, text: str) -> int:
    """How often a term stands in a text, and not within a longer word of katakana, as ログ does in ログイン."""
    if not KANA.match(term) and not KANA.match(term[-1]):
        return text.count(term)
    around = ((text[max(0, at - 1) : at], text[at + len(term) : at + len(term) + 1]) for at in _places(term, text))
    return sum(
        not (KANA.match(term) and KANA.match(before)) and not (KANA.match(term[-1]) and KANA.match(behind))
        for before, behind in around
    )


def _places(term: str, text: str) -> list[int]:
    places: list[int] = []
    at = text.find(term)
    while at >= 0:
        places.append(at)
        at = text.find(term, at + len(term))
    return places


def _southeast(texts: Iterable[str]) -> dict[str, int]:
    """As `_repeated`, of characters with the marks that stand on them, each as one sign."""
    signs: dict[str, str] = {}
    runs = [
        "".join(signs.setdefault(unit, chr(FIRST_SIGN + len(signs))) for unit in UNIT.findall(part))
        for run in _runs(texts, SOUTHEAST_RUN)
        for part in SPLIT_SEA.split(run)
    ]
    units = {sign: unit for unit, sign in signs.items()}
    return {"".join(map(units.__getitem__, gram)): number for gram, number in _repeated(runs).items()}


def _repeated(runs: Sequence[str]) -> dict[str, int]:
    """Runs that come again, between neighbours that differ, hold together, and neither begin nor end within another."""
    units = Counter("".join(runs))
    pairs = Counter(run[i : i + 2] for run in runs for i in range(len(run) - 1))
    grams = _grams(runs, pairs, MIN_TIMES_SHORT if units.total() < SHORT else MIN_TIMES)
    left: dict[str, Counter[str]] = defaultdict(Counter)
    right: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        for size in range(2, min(MAX_UNITS, len(run)) + 1):
            for at in range(len(run) - size + 1):
                if (gram := run[at : at + size]) in grams:
                    left[gram][run[at - 1 : at]] += 1
                    right[gram][run[at + size : at + size + 1]] += 1
    longer: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for gram, number in grams.items():
        longer[gram[1:]][0].append(number)
        longer[gram[:-1]][1].append(number)
    total, known = units.total(), units | grams

    def share(a: str, b: str) -> float:
        return pairs[a + b] / (units[a] * units[b])

    found = {}
    for gram, number in grams.items():
        before, behind = left[gram], right[gram]
        is_part = any(sum(sorted(ways)[-FEW_WAYS:]) > MOSTLY * number for ways in longer[gram])
        if is_part or len(before) + (before[""] > 1) < 2 or len(behind) + (behind[""] > 1) < 2:
            continue
        chance = max(known[gram[:i]] * known[gram[i:]] for i in range(1, len(gram)))
        torn_before = sum(n for c, n in before.items() if c and share(c, gram[0]) > share(gram[0], gram[1]))
        torn_behind = sum(n for c, n in behind.items() if c and share(gram[-1], c) > share(gram[-2], gram[-1]))
        if number * total > MIN_COHESION * chance and 2 * max(torn_before, torn_behind) < number:
            found[gram] = number
    return found


def _grams(runs: Sequence[str], pairs: Counter[str], min_times: int) -> Counter[str]:
    """How often runs come that come often enough; a run does where both of its parts do."""
    previous = {gram for gram, number in pairs.items() if number >= min_times}
    grams = Counter({gram: pairs[gram] for gram in previous})
    for size in range(3, MAX_UNITS + 1):
        found = Counter(
            gram
            for run in runs
            for at in range(len(run) - size + 1)
            if (gram := run[at : at + size])[1:] in previous and gram[:-1] in previous
        )
        previous = {gram for gram, number in found.items() if number >= min_times}
        grams.update({gram: found[gram] for gram in previous})
        if not previous:
            break
    return grams
