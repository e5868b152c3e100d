//! The table of findings: everything Sekisho can say about a message, in one place.
//!
//! A finding has an id that rules, metrics and outside tools rely on (a retired id would keep an
//! alias in [`FindingId::parse`]), a category (which of an analyst's questions it answers), a
//! severity, and a clause in English and Japanese from which [`crate::verdict`] makes sentences.
//! `{evidence}` in a clause stands for what was seen. `docs/findings.md` is checked against this table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::part::PartPath;

/// Which question a finding answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Does it start by itself, or at the first click?
    Trigger,
    /// What can it do?
    Capability,
    /// Does it hide?
    Concealment,
    /// Does it persuade?
    Lure,
    /// What kind of file is it, and how did it come?
    Carrier,
    /// What could not be looked into?
    Uninspected,
    /// Is it known?
    Reputation,
}

impl Category {
    /// The name in JSON and in the docs.
    pub fn name(self) -> &'static str {
        match self {
            Category::Trigger => "trigger",
            Category::Capability => "capability",
            Category::Concealment => "concealment",
            Category::Lure => "lure",
            Category::Carrier => "carrier",
            Category::Uninspected => "uninspected",
            Category::Reputation => "reputation",
        }
    }
}

/// How much a finding weighs. `Info` is a fact that nobody should worry about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A fact, for rules and history.
    Info,
    /// Odd, common in honest mail.
    Low,
    /// Rare in honest mail, or needs company.
    Medium,
    /// Rarely honest.
    High,
    /// Decides alone.
    Critical,
}

impl Severity {
    /// The name in JSON and in the docs.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// Why something was not inspected. All but `Fault` are the content's doing: the policy decides.
/// A `Fault` is ours: `on_error` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It needs a password that was not told.
    Encrypted,
    /// A password was told in the mail, and none that was found opened it.
    EncryptedDespitePassword,
    /// A container that Sekisho cannot open.
    Unsupported,
    /// Damaged beyond reading.
    Damaged,
    /// Over a limit of size, depth or count.
    Limit,
    /// The scanner failed: a panic, time, memory.
    Fault,
}

impl Reason {
    /// Every reason, for diagnostics and metrics.
    pub const ALL: [Reason; 6] = [
        Reason::Encrypted,
        Reason::EncryptedDespitePassword,
        Reason::Unsupported,
        Reason::Damaged,
        Reason::Limit,
        Reason::Fault,
    ];

    /// The name in rules and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Encrypted => "encrypted",
            Reason::EncryptedDespitePassword => "encrypted-despite-password",
            Reason::Unsupported => "unsupported",
            Reason::Damaged => "damaged",
            Reason::Limit => "limit",
            Reason::Fault => "fault",
        }
    }
}

/// A Japanese predicate, in the two forms a sentence needs.
#[derive(Debug)]
pub struct Ja {
    /// The form before 「、」, when another clause follows.
    pub mid: &'static str,
    /// The form before 「。」.
    pub end: &'static str,
}

/// A row of the table.
#[derive(Debug)]
pub struct Kind {
    /// The stable id.
    pub id: &'static str,
    /// Which question it answers.
    pub category: Category,
    /// How much it weighs.
    pub severity: Severity,
    /// For `Uninspected`: why.
    pub reason: Option<Reason>,
    /// The ATT&CK technique, where one fits.
    pub attack: Option<&'static str>,
    /// A predicate whose subject is the part: "runs by itself when opened ({evidence})".
    pub en: &'static str,
    /// The same in Japanese.
    pub ja: Ja,
}

/// The id of a finding that exists in the table.
#[derive(Clone, Copy)]
pub struct FindingId(&'static Kind);

impl FindingId {
    /// Finds the id in the table.
    pub fn parse(text: &str) -> Option<Self> {
        ALL.iter().copied().find(|finding| finding.0.id == text)
    }

    /// The row.
    pub fn kind(self) -> &'static Kind {
        self.0
    }

    /// The id's text.
    pub fn as_str(self) -> &'static str {
        self.0.id
    }
}

impl std::ops::Deref for FindingId {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        self.0
    }
}

impl PartialEq for FindingId {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for FindingId {}

impl PartialOrd for FindingId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FindingId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(other.0.id)
    }
}

impl std::hash::Hash for FindingId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.id)
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.id)
    }
}

impl Serialize for FindingId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.id)
    }
}

impl<'de> Deserialize<'de> for FindingId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown finding `{text}`")))
    }
}

/// One thing that was seen in one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub id: FindingId,
    /// In which part.
    pub part: PartPath,
    /// Where in the part: `ThisDocument:4`, a member name, an offset. Text from mail: hostile.
    pub location: String,
    /// What was seen, short. Text from mail: hostile.
    pub evidence: String,
}

/// Longest evidence or location that is kept, in characters.
pub const MAX_EVIDENCE: usize = 200;

macro_rules! table {
    ($($(#[$meta:meta])* $name:ident = $id:literal, $category:ident, $severity:ident, $reason:expr, $attack:expr, $en:literal, $mid:literal, $end:literal;)*) => {
        $($(#[$meta])* pub const $name: FindingId = FindingId(&Kind {
            id: $id, category: Category::$category, severity: Severity::$severity, reason: $reason, attack: $attack,
            en: $en, ja: Ja { mid: $mid, end: $end },
        });)*

        /// Every finding there is, in the order of the table.
        pub const ALL: &[FindingId] = &[$($name),*];
    };
}

table! {
    /// A procedure that Office calls on opening or closing.
    VBA_AUTOEXEC = "vba-autoexec", Trigger, High, None, Some("T1204.002"),
        "runs by itself when opened ({evidence})",
        "開くと自動的に実行され（{evidence}）", "開くと自動的に実行されます（{evidence}）";
    /// A procedure called by an event that happens without a deliberate click.
    VBA_EVENT = "vba-event", Trigger, Medium, None, Some("T1204.002"),
        "runs at the first movement or redraw ({evidence})",
        "表示やマウスの動きだけで実行され（{evidence}）", "表示やマウスの動きだけで実行されます（{evidence}）";
    /// A procedure that Office calls on opening or closing, from which nothing of note is reached.
    VBA_STARTUP = "vba-startup", Trigger, Info, None, Some("T1204.002"),
        "runs a harmless procedure when opened ({evidence})",
        "開くと無害な処理が自動的に実行され（{evidence}）", "開くと無害な処理が自動的に実行されます（{evidence}）";
    /// A name that Excel runs by itself, and the macro that it names does something of note.
    XLM_AUTO_OPEN = "xlm-auto-open", Trigger, High, None, Some("T1204.002"),
        "runs an Excel 4.0 macro by itself when opened ({evidence})",
        "開くとExcel 4.0マクロが自動的に実行され（{evidence}）", "開くとExcel 4.0マクロが自動的に実行されます（{evidence}）";
    /// The same, and the macro does nothing of note.
    XLM_STARTUP = "xlm-startup", Trigger, Info, None, Some("T1204.002"),
        "runs a harmless Excel 4.0 macro when opened ({evidence})",
        "開くと無害なExcel 4.0マクロが自動的に実行され（{evidence}）", "開くと無害なExcel 4.0マクロが自動的に実行されます（{evidence}）";
    /// VBA that calls macros of Excel 4.0, which other findings tell about.
    VBA_CALLS_XLM = "vba-calls-xlm", Trigger, Medium, None, Some("T1204.002"),
        "calls Excel 4.0 macros from VBA ({evidence})",
        "VBAからExcel 4.0マクロを呼び出し（{evidence}）", "VBAからExcel 4.0マクロを呼び出します（{evidence}）";
    /// A part of the document names code to be called: a ribbon's `onLoad`, Word's list of events. Low: it is
    /// the code that tells whether the call matters.
    DOCUMENT_EVENT = "document-event", Trigger, Low, None, Some("T1137.001"),
        "names code to be called when it is opened ({evidence})",
        "開いたときに呼び出すコードを指定し（{evidence}）", "開いたときに呼び出すコードを指定しています（{evidence}）";

    /// Rich text with an object that has neither a header nor a compound file in it: Word reads what scanners do not.
    RTF_OBJECT_BROKEN = "rtf-object-broken", Trigger, High, None, Some("T1203"),
        "contains an object that cannot be read ({evidence})",
        "壊れていて読み取れないオブジェクトを含み（{evidence}）", "壊れていて読み取れないオブジェクトを含みます（{evidence}）";
    /// An object whose data only makes sense as an attack on the program that reads it.
    OBJECT_EXPLOIT = "object-exploit", Trigger, Critical, None, Some("T1203"),
        "contains an object made to attack the program that reads it ({evidence})",
        "読み込むプログラムの脆弱性を攻撃するオブジェクトを含み（{evidence}）", "読み込むプログラムの脆弱性を攻撃するオブジェクトを含みます（{evidence}）";
    /// An attached template on the internet (ECMA-376 part 1, 17.15.1.6; RTF `\\*\\template`).
    REMOTE_TEMPLATE = "remote-template", Trigger, High, None, Some("T1221"),
        "loads a template from the internet when opened ({evidence})",
        "開くとインターネット上のテンプレートを読み込み（{evidence}）", "開くとインターネット上のテンプレートを読み込みます（{evidence}）";
    /// A linked object, frame or sub-document on the internet: Office fetches it and hands it to what opens its type.
    REMOTE_OBJECT = "remote-object", Trigger, Critical, None, Some("T1221"),
        "loads an object from the internet when opened ({evidence})",
        "開くとインターネット上のオブジェクトを読み込み（{evidence}）", "開くとインターネット上のオブジェクトを読み込みます（{evidence}）";
    /// A template or object within the company, a text or picture elsewhere. Low: firms share templates.
    LINKED_CONTENT = "linked-content", Trigger, Low, None, Some("T1221"),
        "refers to content that stands elsewhere ({evidence})",
        "別の場所にある内容を参照し（{evidence}）", "別の場所にある内容を参照しています（{evidence}）";
    /// A presentation that starts an interpreter, or any program as soon as the mouse passes over it.
    ACTION_COMMAND = "action-command", Trigger, Critical, None, Some("T1204.002"),
        "starts a command when a slide is clicked or the mouse passes over it ({evidence})",
        "スライド上のクリックやマウスの移動だけでコマンドを実行し（{evidence}）", "スライド上のクリックやマウスの移動だけでコマンドを実行します（{evidence}）";
    /// A presentation that runs a macro or opens an object as soon as the mouse passes over something.
    ACTION_HOVER = "action-hover", Trigger, Medium, None, Some("T1204.002"),
        "runs a macro or opens an object when the mouse passes over a slide ({evidence})",
        "スライド上でマウスを動かすだけでマクロの実行やオブジェクトの起動が行われ（{evidence}）", "スライド上でマウスを動かすだけでマクロの実行やオブジェクトの起動が行われます（{evidence}）";
    /// A control that plays Flash or shows pages of the web. Medium: old presentations have such films.
    ACTIVE_CONTROL = "active-control", Trigger, Medium, None, Some("T1204.002"),
        "has a control that loads foreign content when it is opened ({evidence})",
        "開くと外部のコンテンツを読み込むコントロールを含み（{evidence}）", "開くと外部のコンテンツを読み込むコントロールを含みます（{evidence}）";
    /// DDE with a shell, an interpreter or another program of the system as its server.
    DDE_COMMAND = "dde-command", Trigger, Critical, None, Some("T1559.002"),
        "starts a program through DDE ({evidence})",
        "DDEでプログラムを起動し（{evidence}）", "DDEでプログラムを起動します（{evidence}）";
    /// DDE with a server that no Office program is.
    DDE_SERVER = "dde-server", Trigger, High, None, Some("T1559.002"),
        "asks a program that is no part of Office for data, through DDE ({evidence})",
        "DDEでOffice以外のプログラムにデータを要求し（{evidence}）", "DDEでOffice以外のプログラムにデータを要求します（{evidence}）";
    /// DDE between documents of Office.
    DDE_LINK = "dde-link", Trigger, Info, None, None,
        "takes data from another document of Office ({evidence})",
        "Officeの別の文書からデータを取り込み（{evidence}）", "Officeの別の文書からデータを取り込みます（{evidence}）";

    /// Shell, WScript.Shell.Run, ShellExecute, Win32_Process.Create …
    VBA_RUN_PROGRAM = "vba-run-program", Capability, High, None, Some("T1059.005"),
        "starts a program ({evidence})",
        "プログラムを起動し（{evidence}）", "プログラムを起動します（{evidence}）";
    /// A program start whose command line goes to an interpreter: PowerShell, cmd, mshta, wscript, regsvr32 …
    VBA_RUN_INTERPRETER = "vba-run-interpreter", Capability, High, None, Some("T1059"),
        "hands a command to an interpreter ({evidence})",
        "コマンドをスクリプト実行環境に渡し（{evidence}）", "コマンドをスクリプト実行環境に渡します（{evidence}）";
    /// URLDownloadToFile, XMLHTTP, WinHttp, BITS …
    VBA_DOWNLOAD = "vba-download", Capability, High, None, Some("T1105"),
        "fetches something from the network ({evidence})",
        "ネットワークからファイルを取得し（{evidence}）", "ネットワークからファイルを取得します（{evidence}）";
    /// Asks a web server, and keeps the answer to itself.
    VBA_WEB_REQUEST = "vba-web-request", Capability, Low, None, Some("T1071.001"),
        "asks a web server ({evidence})",
        "ウェブサーバーに問い合わせ（{evidence}）", "ウェブサーバーに問い合わせます（{evidence}）";
    /// Writes a file that can be run, or into a place from which things start.
    VBA_DROP_FILE = "vba-drop-file", Capability, High, None, Some("T1105"),
        "writes a file that can be run ({evidence})",
        "実行できるファイルを書き出し（{evidence}）", "実行できるファイルを書き出します（{evidence}）";
    /// Writes a file of no dangerous kind.
    VBA_WRITE_FILE = "vba-write-file", Capability, Low, None, None,
        "writes files ({evidence})",
        "ファイルを書き出し（{evidence}）", "ファイルを書き出します（{evidence}）";
    /// `Declare … Lib` of a function that starts, loads or injects.
    VBA_NATIVE_CALL = "vba-native-call", Capability, Medium, None, Some("T1106"),
        "calls native code ({evidence})",
        "Windowsの関数（API）を直接呼び出し（{evidence}）", "Windowsの関数（API）を直接呼び出します（{evidence}）";
    /// Turns a protection off, writes the registry, changes VBA code.
    VBA_TAMPER = "vba-tamper", Capability, Medium, None, Some("T1562.001"),
        "changes settings or code that protect the user ({evidence})",
        "保護に関わる設定やコードを変更し（{evidence}）", "保護に関わる設定やコードを変更します（{evidence}）";
    /// CallByName, Application.Run or GetObject with a computed target.
    VBA_DYNAMIC_CALL = "vba-dynamic-call", Capability, Medium, None, Some("T1027"),
        "calls something whose name is computed ({evidence})",
        "計算で求めた名前の機能を呼び出し（{evidence}）", "計算で求めた名前の機能を呼び出します（{evidence}）";

    /// `EXEC`, or a function of a library that starts programs, from an Excel 4.0 macro.
    XLM_RUN_PROGRAM = "xlm-run-program", Capability, High, None, Some("T1059"),
        "starts a program from an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロからプログラムを起動し（{evidence}）", "Excel 4.0マクロからプログラムを起動します（{evidence}）";
    /// The same, with a command for an interpreter: PowerShell, cmd, mshta, regsvr32 …
    XLM_RUN_INTERPRETER = "xlm-run-interpreter", Capability, High, None, Some("T1059"),
        "hands a command to an interpreter from an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロからコマンドをスクリプト実行環境に渡し（{evidence}）", "Excel 4.0マクロからコマンドをスクリプト実行環境に渡します（{evidence}）";
    /// `CALL` or `REGISTER` of a function that fetches, `OPEN` of an address.
    XLM_DOWNLOAD = "xlm-download", Capability, High, None, Some("T1105"),
        "fetches something from the network with an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロでネットワークからファイルを取得し（{evidence}）", "Excel 4.0マクロでネットワークからファイルを取得します（{evidence}）";
    /// `FOPEN` or `SAVE.AS` of a file that can be run, or starts by itself.
    XLM_DROP_FILE = "xlm-drop-file", Capability, High, None, Some("T1105"),
        "writes a file that can be run with an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロで実行できるファイルを書き出し（{evidence}）", "Excel 4.0マクロで実行できるファイルを書き出します（{evidence}）";
    /// `FOPEN` of a file of no dangerous kind.
    XLM_WRITE_FILE = "xlm-write-file", Capability, Low, None, None,
        "writes files with an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロでファイルを書き出し（{evidence}）", "Excel 4.0マクロでファイルを書き出します（{evidence}）";
    /// `CALL` or `REGISTER` of a function that loads or injects, that nobody knows, or of a library in some folder.
    XLM_NATIVE_CALL = "xlm-native-call", Capability, Medium, None, Some("T1106"),
        "calls native code from an Excel 4.0 macro ({evidence})",
        "Excel 4.0マクロからWindowsの関数（API）を直接呼び出し（{evidence}）", "Excel 4.0マクロからWindowsの関数（API）を直接呼び出します（{evidence}）";
    /// Macros that write formulas into a macro sheet, where they run.
    XLM_SELF_WRITING = "xlm-self-writing", Capability, Medium, None, Some("T1027"),
        "writes its own Excel 4.0 macros while it runs ({evidence})",
        "実行中にExcel 4.0マクロを自ら書き込み（{evidence}）", "実行中にExcel 4.0マクロを自ら書き込みます（{evidence}）";

    /// CreateObject or GetObject whose argument is built at run time.
    VBA_HIDDEN_OBJECT = "vba-hidden-object", Concealment, Medium, None, Some("T1027"),
        "hides which object it uses ({evidence})",
        "使用するオブジェクトの名前を隠し（{evidence}）", "使用するオブジェクトの名前を隠しています（{evidence}）";
    /// Split, encoded or meaningless strings and names, measured.
    VBA_OBFUSCATED = "vba-obfuscated", Concealment, Medium, None, Some("T1027"),
        "is written so that it cannot be read ({evidence})",
        "読めないように細工され（{evidence}）", "読めないように細工されています（{evidence}）";
    /// A command or an encoded text in a form, a property or the text, beside macros.
    VBA_PAYLOAD_OUTSIDE = "vba-payload-outside", Concealment, Medium, None, Some("T1027.009"),
        "keeps a command outside of its code ({evidence})",
        "コードの外に命令を隠し（{evidence}）", "コードの外に命令を隠しています（{evidence}）";
    /// The source is missing or does not fit the compiled code.
    VBA_NO_SOURCE = "vba-no-source", Concealment, Medium, None, Some("T1564.007"),
        "has macro modules without readable source ({evidence})",
        "ソースを読めないマクロを含み（{evidence}）", "ソースを読めないマクロを含みます（{evidence}）";
    /// Excel 4.0 macros put together from pieces, written at run time, or far from where anybody looks.
    XLM_OBFUSCATED = "xlm-obfuscated", Concealment, Medium, None, Some("T1027"),
        "has Excel 4.0 macros that cannot be read ({evidence})",
        "読めないように細工されたExcel 4.0マクロを含み（{evidence}）", "読めないように細工されたExcel 4.0マクロを含みます（{evidence}）";
    /// Macros that ask for the screen, the mouse, the sound or single steps: what a sandbox lacks.
    XLM_EVADES = "xlm-evades", Concealment, Medium, None, Some("T1497.001"),
        "checks in an Excel 4.0 macro whether somebody is watching ({evidence})",
        "解析環境かどうかをExcel 4.0マクロで調べ（{evidence}）", "解析環境かどうかをExcel 4.0マクロで調べます（{evidence}）";
    /// A macro sheet that no menu of Excel lists.
    XLM_HIDDEN_SHEET = "xlm-hidden-sheet", Concealment, Medium, None, Some("T1564"),
        "has a macro sheet that Excel does not list ({evidence})",
        "Excelの一覧に表示されないマクロシートを含み（{evidence}）", "Excelの一覧に表示されないマクロシートを含みます（{evidence}）";
    /// A project whose protection no Office writes, so that the editor refuses to show it.
    VBA_PROJECT_HIDDEN = "vba-project-hidden", Concealment, Medium, None, Some("T1564"),
        "keeps the editor from showing its macros ({evidence})",
        "マクロをエディターに表示させないよう細工され（{evidence}）", "マクロをエディターに表示させないよう細工されています（{evidence}）";
    /// A module with code that runs and that the editor does not list.
    VBA_MODULE_HIDDEN = "vba-module-hidden", Concealment, Medium, None, Some("T1564"),
        "has a macro module that the editor does not list ({evidence})",
        "エディターの一覧に出ないマクロを含み（{evidence}）", "エディターの一覧に出ないマクロを含みます（{evidence}）";
    /// A module with two names that disagree, so that one program reads another code than the next.
    VBA_NAMES_DIFFER = "vba-names-differ", Concealment, Medium, None, Some("T1564"),
        "tells two different names of one macro module ({evidence})",
        "一つのマクロモジュールに異なる二つの名前を付け（{evidence}）", "一つのマクロモジュールに異なる二つの名前を付けています（{evidence}）";
    /// A project that is shown to who knows its password: add-ins are.
    VBA_PROJECT_LOCKED = "vba-project-locked", Concealment, Info, None, None,
        "locks its macros against viewing",
        "マクロの表示をロックし", "マクロの表示をロックしています";
    /// An address that is loaded from and told so that it does not show who answers: a bare number, a port, a scheme.
    ODD_ADDRESS = "odd-address", Concealment, Medium, None, Some("T1036"),
        "loads from an address that honest documents do not use ({evidence})",
        "通常の文書では使われないアドレスから読み込み（{evidence}）", "通常の文書では使われないアドレスから読み込みます（{evidence}）";
    /// Rich text whose objects are written so that scanners lose them: other things between the digits.
    /// Critical: no program writes them.
    RTF_OBFUSCATED = "rtf-obfuscated", Concealment, Critical, None, Some("T1027"),
        "hides an object from scanners ({evidence})",
        "オブジェクトを検査から隠し（{evidence}）", "オブジェクトを検査から隠しています（{evidence}）";
    /// Encrypted with a password that Office tries before it asks for one. Low: Excel does so itself with workbooks
    /// whose structure is protected.
    DOCUMENT_DEFAULT_PASSWORD = "document-default-password", Concealment, Low, None, Some("T1027.013"),
        "is encrypted with a password that Office knows by itself ({evidence})",
        "Officeが自動的に使う既定のパスワードで暗号化され（{evidence}）", "Officeが自動的に使う既定のパスワードで暗号化されています（{evidence}）";
    /// Encrypted with a password that Office tries before it asks for one, and nothing in it is protected, which is
    /// the only reason for which Office does so.
    DOCUMENT_NEEDLESS_ENCRYPTION = "document-needless-encryption", Concealment, Medium, None, Some("T1027.013"),
        "is encrypted although nothing in it is protected, as programs do that hide documents from filters",
        "保護されている箇所がないのに暗号化され", "保護されている箇所がないのに暗号化されています（検査を避けるための加工の疑いがあります）";
    /// Content and name or declaration contradict each other in a way that hides what it is.
    TYPE_MISMATCH = "type-mismatch", Concealment, Low, None, Some("T1036.008"),
        "is not what its name says ({evidence})",
        "名前と実際の種類が異なり（{evidence}）", "名前と実際の種類が異なります（{evidence}）";
    /// Several names that disagree about the extension.
    NAME_CONFLICT = "name-conflict", Concealment, Low, None, Some("T1036"),
        "has names that disagree ({evidence})",
        "互いに食い違う複数の名前を持ち（{evidence}）", "互いに食い違う複数の名前を持ちます（{evidence}）";
    /// Right-to-left override or similar in a name.
    NAME_DECEPTIVE = "name-deceptive", Concealment, Medium, None, Some("T1036.002"),
        "has a name made to deceive ({evidence})",
        "紛らわしい名前を持ち（{evidence}）", "紛らわしい名前を持ちます（{evidence}）";
    /// A ZIP's central directory and its local headers list different members.
    ZIP_VIEWS_DIFFER = "zip-views-differ", Concealment, Low, None, Some("T1027"),
        "lists other members in its directory than it holds ({evidence})",
        "目次と実際の内容が異なるアーカイブで（{evidence}）", "目次と実際の内容が異なるアーカイブです（{evidence}）";
    /// MIME structure that two readers would read differently.
    MIME_AMBIGUOUS = "mime-ambiguous", Concealment, Low, None, Some("T1027"),
        "has a structure that can be read in two ways ({evidence})",
        "二通りに解釈できる構造を持ち（{evidence}）", "二通りに解釈できる構造を持ちます（{evidence}）";
    /// Something encrypted stays closed, and not every word that may be its password was tried.
    PASSWORDS_UNTRIED = "passwords-untried", Concealment, Info, None, Some("T1027.013"),
        "stays closed, and the mail has more words that may be its password than were tried",
        "開けないまま残り、パスワードの候補が多すぎるため全ては試せず", "開けないまま残り、パスワードの候補が多すぎるため全ては試せませんでした";
    /// A password stands in the mail's text.
    PASSWORD_TOLD = "password-told", Concealment, Info, None, Some("T1027.013"),
        "tells a password in its text",
        "本文でパスワードを知らせ", "本文でパスワードを知らせています";

    /// The document asks the reader to enable content, editing or macros.
    LURE_ENABLE_CONTENT = "lure-enable-content", Lure, Medium, None, Some("T1204.002"),
        "asks the reader to enable content (“{evidence}”)",
        "コンテンツの有効化を求め（「{evidence}」）", "コンテンツの有効化を求めています（「{evidence}」）";
    /// The document asks the reader to copy it into a trusted folder.
    LURE_TRUSTED_FOLDER = "lure-trusted-folder", Lure, High, None, Some("T1204.002"),
        "asks the reader to copy it into a trusted folder (“{evidence}”)",
        "信頼できる場所へのコピーを求め（「{evidence}」）", "信頼できる場所へのコピーを求めています（「{evidence}」）";
    /// One big picture, hardly any text, and macros. Low: an honest template with a logo may look like that.
    LURE_PICTURE_ONLY = "lure-picture-only", Lure, Low, None, Some("T1204.002"),
        "shows a picture and hardly any text beside its macros ({evidence})",
        "マクロのほかは画像だけで文章がほとんどなく（{evidence}）", "マクロのほかは画像だけで文章がほとんどありません（{evidence}）";
    /// What was read in a picture of a document with active content.
    PICTURE_READ = "picture-read", Lure, Info, None, None,
        "shows a picture in which is written “{evidence}”",
        "画像に「{evidence}」と書かれており", "画像に「{evidence}」と書かれています";
    /// A picture of a document with active content looks like one that malicious documents showed. The evidence is its
    /// name in the store (`sekisho pictures list`).
    PICTURE_LEARNED = "picture-learned", Lure, Medium, None, Some("T1204.002"),
        "shows a picture that malicious documents showed before (picture {evidence})",
        "悪意のある文書で使われた画像を含み（画像{evidence}）", "悪意のある文書で使われた画像を含みます（画像{evidence}）";
    /// A picture of a document with active content in which nobody read: it is damaged or of a rare kind, or whoever
    /// reads was busy, too slow or failed.
    PICTURE_UNREAD = "picture-unread", Lure, Info, None, None,
        "shows a picture in which nobody read ({evidence})",
        "画像の文字を読み取れず（{evidence}）", "画像の文字を読み取れませんでした（{evidence}）";
    /// The mail's own text asks to enable content.
    LURE_MAIL_TEXT = "lure-mail-text", Lure, Low, None, Some("T1566.001"),
        "asks in its text to enable content (“{evidence}”)",
        "本文でコンテンツの有効化を求め（「{evidence}」）", "本文でコンテンツの有効化を求めています（「{evidence}」）";

    /// A VBA project with code.
    VBA_MACROS = "vba-macros", Carrier, Info, None, Some("T1137.001"),
        "contains macros",
        "マクロを含み", "マクロを含みます";
    /// A sheet of Excel 4.0 macros.
    XLM_MACROS = "xlm-macros", Carrier, Info, None, Some("T1137"),
        "contains Excel 4.0 macros ({evidence})",
        "Excel 4.0マクロを含み（{evidence}）", "Excel 4.0マクロを含みます（{evidence}）";
    /// An encrypted document that a password from the mail or of the administrator opened: it was looked into.
    DOCUMENT_PASSWORD_OPENED = "document-password-opened", Carrier, Info, None, Some("T1027.013"),
        "is encrypted, and a known password opened it ({evidence})",
        "暗号化されていますが、既知のパスワードで開くことができ（{evidence}）", "暗号化されていますが、既知のパスワードで開くことができました（{evidence}）";
    /// A signature over macros. It is shown, not verified.
    VBA_SIGNED = "vba-signed", Carrier, Info, None, Some("T1553.002"),
        "has macros with a signature, which was not verified ({evidence})",
        "署名されたマクロ（署名は未検証）を含み（{evidence}）", "署名されたマクロ（署名は未検証）を含みます（{evidence}）";
    /// A program: PE, ELF, Mach-O, installer.
    CARRIER_PROGRAM = "carrier-program", Carrier, High, None, Some("T1204.002"),
        "is a program ({evidence})",
        "実行プログラムであり（{evidence}）", "実行プログラムです（{evidence}）";
    /// A script that Windows runs on double click.
    CARRIER_SCRIPT = "carrier-script", Carrier, High, None, Some("T1059"),
        "is a script that runs at a double click ({evidence})",
        "ダブルクリックで実行されるスクリプトであり（{evidence}）", "ダブルクリックで実行されるスクリプトです（{evidence}）";
    /// A shortcut.
    CARRIER_SHORTCUT = "carrier-shortcut", Carrier, High, None, Some("T1204.002"),
        "is a shortcut that starts something ({evidence})",
        "何かを起動するショートカットであり（{evidence}）", "何かを起動するショートカットです（{evidence}）";
    /// message/external-body: what the reader gets stands elsewhere.
    EXTERNAL_BODY = "external-body", Carrier, Low, None, Some("T1105"),
        "has content that stands elsewhere ({evidence})",
        "外部の内容を参照し（{evidence}）", "外部の内容を参照しています（{evidence}）";
    /// A file attached to a page of OneNote that a double click runs.
    ONENOTE_PROGRAM = "onenote-program", Carrier, Critical, None, Some("T1204.002"),
        "is a OneNote section with a program or script to be clicked ({evidence})",
        "クリックで実行されるプログラムやスクリプトを含むOneNoteセクションであり（{evidence}）", "クリックで実行されるプログラムやスクリプトを含むOneNoteセクションです（{evidence}）";
    /// A page of OneNote with pictures and attached files. Low: so are minutes of meetings.
    ONENOTE_ATTACHMENT = "onenote-attachment", Carrier, Low, None, Some("T1204.002"),
        "is a OneNote section with attached files beside pictures ({evidence})",
        "画像と添付ファイルを含むOneNoteセクションであり（{evidence}）", "画像と添付ファイルを含むOneNoteセクションです（{evidence}）";
    /// A script or a shortcut in a document, to be clicked within it. Critical: a person would send the file.
    EMBEDDED_SCRIPT = "embedded-script", Carrier, Critical, None, Some("T1204.002"),
        "carries a script or shortcut that runs at a double click ({evidence})",
        "ダブルクリックで実行されるスクリプトやショートカットを内部に持ち（{evidence}）", "ダブルクリックで実行されるスクリプトやショートカットを内部に持ちます（{evidence}）";
    /// A program in a document, to be clicked within it, or a text that says what scripts say.
    EMBEDDED_PROGRAM = "embedded-program", Carrier, High, None, Some("T1204.002"),
        "carries a program to be clicked ({evidence})",
        "クリックで実行されるプログラムを内部に持ち（{evidence}）", "クリックで実行されるプログラムを内部に持ちます（{evidence}）";
    /// A link that starts a program or one of Windows' own handlers once it is clicked, a button of a presentation
    /// that starts a program.
    LINK_PROGRAM = "link-program", Carrier, High, None, Some("T1204.001"),
        "has a link or button that starts a program ({evidence})",
        "クリックするとプログラムが起動するリンクやボタンを含み（{evidence}）", "クリックするとプログラムが起動するリンクやボタンを含みます（{evidence}）";
    /// A page or script that makes a file of its own text, which no gateway sees: archives and documents have other ways.
    HTML_SMUGGLING = "html-smuggling", Carrier, High, None, Some("T1027.006"),
        "carries a file in its text that it hands to whoever opens it ({evidence})",
        "開いた人に渡すファイルを文字列として内部に隠し持ち（{evidence}）", "開いた人に渡すファイルを文字列として内部に隠し持っています（{evidence}）";
    /// A disk image. Medium: what is in it is looked into, and firms do mail images of discs.
    CARRIER_DISK_IMAGE = "carrier-disk-image", Carrier, Medium, None, Some("T1553.005"),
        "is a disk image ({evidence})",
        "ディスクイメージであり（{evidence}）", "ディスクイメージです（{evidence}）";

    /// An encrypted archive, no password told in the mail.
    ARCHIVE_ENCRYPTED = "archive-encrypted", Uninspected, Medium, Some(Reason::Encrypted), Some("T1027.013"),
        "could not be looked into: it is encrypted ({evidence})",
        "暗号化されているため検査できず（{evidence}）", "暗号化されているため検査できませんでした（{evidence}）";
    /// An encrypted archive, and no password found in the mail opened it.
    ARCHIVE_ENCRYPTED_TOLD = "archive-encrypted-told", Uninspected, Medium, Some(Reason::EncryptedDespitePassword), Some("T1027.013"),
        "could not be looked into: it is encrypted, and no password found in the mail opened it ({evidence})",
        "暗号化されており、メールに書かれたパスワードでも開けないため検査できず（{evidence}）", "暗号化されており、メールに書かれたパスワードでも開けないため検査できませんでした（{evidence}）";
    /// An encrypted document.
    DOCUMENT_ENCRYPTED = "document-encrypted", Uninspected, Medium, Some(Reason::Encrypted), Some("T1027.013"),
        "could not be looked into: the document is encrypted ({evidence})",
        "暗号化された文書のため検査できず（{evidence}）", "暗号化された文書のため検査できませんでした（{evidence}）";
    /// An encrypted document, and a password was told in the mail.
    DOCUMENT_ENCRYPTED_TOLD = "document-encrypted-told", Uninspected, Medium, Some(Reason::EncryptedDespitePassword), Some("T1027.013"),
        "could not be looked into: the document is encrypted, and the mail tells a password ({evidence})",
        "メールにパスワードが書かれていますが、暗号化された文書のため検査できず（{evidence}）", "メールにパスワードが書かれていますが、暗号化された文書のため検査できませんでした（{evidence}）";
    /// Mail that was encrypted for its readers: S/MIME, OpenPGP. No password opens it, and firms that use it do so daily.
    MAIL_ENCRYPTED = "mail-encrypted", Uninspected, Low, Some(Reason::Encrypted), None,
        "could not be looked into: it is encrypted for its recipients ({evidence})",
        "受信者宛てに暗号化されているため検査できず（{evidence}）", "受信者宛てに暗号化されているため検査できませんでした（{evidence}）";
    /// A container of a kind that is not opened.
    CONTAINER_UNSUPPORTED = "container-unsupported", Uninspected, Medium, Some(Reason::Unsupported), None,
        "could not be looked into: containers of this kind are not opened ({evidence})",
        "未対応の形式のため検査できず（{evidence}）", "未対応の形式のため検査できませんでした（{evidence}）";
    /// Damaged beyond reading.
    DAMAGED = "damaged", Uninspected, Low, Some(Reason::Damaged), None,
        "could not be read: it is damaged ({evidence})",
        "破損しているため検査できず（{evidence}）", "破損しているため検査できませんでした（{evidence}）";
    /// Over a limit of size, depth or count.
    LIMIT_EXCEEDED = "limit-exceeded", Uninspected, Medium, Some(Reason::Limit), Some("T1027.001"),
        "could not be looked into as a whole: a limit was reached ({evidence})",
        "上限を超えたため一部を検査できず（{evidence}）", "上限を超えたため一部を検査できませんでした（{evidence}）";
    /// The scanner failed.
    SCAN_FAULT = "scan-fault", Uninspected, Medium, Some(Reason::Fault), None,
        "could not be scanned: the scanner failed ({evidence})",
        "検査プログラムの障害により検査できず（{evidence}）", "検査プログラムの障害により検査できませんでした（{evidence}）";

    /// The EICAR test file.
    EICAR = "eicar-test-file", Reputation, Critical, None, None,
        "is the EICAR test file",
        "EICARテストファイルであり", "EICARテストファイルです";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_parse() {
        for finding in ALL {
            assert_eq!(FindingId::parse(finding.as_str()), Some(*finding));
            assert_eq!(ALL.iter().filter(|other| *other == finding).count(), 1, "{finding}");
        }
    }

    #[test]
    fn exactly_the_uninspected_have_a_reason() {
        for finding in ALL {
            assert_eq!(finding.reason.is_some(), finding.category == Category::Uninspected, "{finding}");
        }
    }

    #[test]
    fn both_languages_show_the_same_evidence() {
        for finding in ALL {
            let shows = |text: &str| text.contains("{evidence}");
            assert_eq!(shows(finding.en), shows(finding.ja.mid), "{finding}");
            assert_eq!(shows(finding.en), shows(finding.ja.end), "{finding}");
        }
    }
}
