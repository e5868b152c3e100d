//! The phrases, by language: data, not code. Captions of Office stand as Office writes them; they
//! are compared without case, white space and invisible characters.

use super::Sense::{self, AskToCopy, Content, Editing, Folder, Macros, StrongReason, WeakReason};

/// Language, what the phrases mean, and the phrases, separated by bars.
#[rustfmt::skip]
pub const PHRASES: &[(&str, Sense, &str)] = &[
    // The buttons of the message bar and of Protected View.
    ("en", Content, "enable content|enable the content|enable all content|enabling content|enable this content|until content is enabled|until the content is enabled|content are enabled"),
    ("en", Editing, "enable editing|enabling editing|until editing is enabled|unless editing is enabled"),
    ("en", Macros, "enable macro|enable macros|enable the macros|enabling macros|activate macros|allow macros|click options|click on options"),
    ("ja", Content, "コンテンツの有効|コンテンツの有効化|コンテンツを有効|コンテンツが有効になるまで|コンテンツが有効になっていない"),
    ("ja", Editing, "編集を有効|編集の有効化|編集が有効になるまで|編集が有効になっていない"),
    ("ja", Macros, "マクロを有効|マクロの有効化"),
    ("de", Content, "inhalt aktivieren|inhalte aktivieren|inhalt zu aktivieren|aktivieren sie den inhalt|bis der inhalt aktiviert"),
    ("de", Editing, "bearbeitung aktivieren|bearbeiten aktivieren|bis die bearbeitung aktiviert"),
    ("de", Macros, "makros aktivieren|aktivieren sie makros|aktivieren sie die makros"),
    ("it", Content, "abilita contenuto|abilita contenuti|abilita il contenuto|abilitare il contenuto|attiva contenuto"),
    ("it", Editing, "abilita modifica|abilita modifiche|abilitare la modifica|attiva modifica"),
    ("it", Macros, "attiva macro|abilita macro|attivare le macro|abilitare le macro"),
    ("es", Content, "habilitar contenido|habilite el contenido|habilitar el contenido"),
    ("es", Editing, "habilitar edición|habilitar la edición|hasta que se habilite la edición"),
    ("es", Macros, "habilitar macros|habilitar las macros|habilite las macros"),
    ("fr", Content, "activer le contenu|activez le contenu"),
    ("fr", Editing, "activer la modification|activez la modification|modification soit activée|modification n'est pas activée"),
    ("fr", Macros, "activer les macros|activez les macros"),
    ("pt", Content, "habilitar conteúdo|ativar conteúdo|habilitar o conteúdo"),
    ("pt", Editing, "habilitar edição|ativar edição|habilitar a edição|até que a edição seja habilitada"),
    ("pt", Macros, "habilitar as macros|ativar macros"),
    ("nl", Content, "inhoud inschakelen|inhoud in te schakelen"),
    ("nl", Editing, "bewerken inschakelen|bewerking inschakelen"),
    ("nl", Macros, "macro's inschakelen"),
    ("pl", Content, "włącz zawartość"),
    ("pl", Editing, "włącz edycję|włącz edytowanie"),
    ("pl", Macros, "włącz makra"),
    ("sv", Content, "aktivera innehåll"),
    ("sv", Editing, "aktivera redigering"),
    ("da", Content, "aktivér indhold|aktiver indhold"),
    ("da", Editing, "aktivér redigering|aktiver redigering"),
    ("tr", Content, "i̇çeriği etkinleştir|içeriği etkinleştir"),
    ("tr", Editing, "düzenlemeyi etkinleştir"),
    ("cs", Content, "povolit obsah"),
    ("cs", Editing, "povolit úpravy"),
    ("et", Content, "luba sisu"),
    ("et", Editing, "luba redigeerimine"),
    ("ru", Content, "включить содержимое|включите содержимое"),
    ("ru", Editing, "разрешить редактирование"),
    ("ru", Macros, "включить макросы|включите макросы"),
    ("zh", Content, "启用内容|啟用內容"),
    ("zh", Editing, "启用编辑|啟用編輯"),
    ("zh", Macros, "启用宏|啟用巨集"),
    ("ko", Content, "콘텐츠 사용"),
    ("ko", Editing, "편집 사용"),
    ("ko", Macros, "매크로 사용"),
    // Why one should press them, in words that honest documents do not use of themselves.
    ("en", StrongReason, "document is protected|this document protected|file is protected|workbook is protected by"),
    ("en", StrongReason, "created in an earlier version|created in earlier version|created with an earlier version"),
    ("en", StrongReason, "created in a previous version|created in previous version|created in a newer version|created by a newer version"),
    ("en", StrongReason, "created in an online version|created in online version|document created in|document was created on|file was created on"),
    ("en", StrongReason, "previewing is not available|preview is not available|cannot be previewed|not available for protected documents"),
    ("en", StrongReason, "to decrypt|decryption of the document|document is encrypted|encrypted by docusign|protected by docusign"),
    ("en", StrongReason, "update your edition|upgrading your edition|relaunch required|operation did not complete successfully"),
    ("en", StrongReason, "this document is secure|document is only available for|unable to open the document|opened from a mobile"),
    ("en", StrongReason, "office activation|activation wizard"),
    ("ja", StrongReason, "このドキュメントは保護|このファイルは保護|この文書は保護|文書は保護され|ドキュメントは保護され|以前のバージョン"),
    ("de", StrongReason, "dokument ist geschützt|datei ist geschützt|früheren version|älteren version|vorschau ist nicht verfügbar"),
    ("it", StrongReason, "documento protetto|documento è protetto|versione precedente"),
    ("es", StrongReason, "documento protegido|documento está protegido|versión anterior"),
    ("fr", StrongReason, "document protégé|document est protégé|version antérieure|version précédente"),
    ("pt", StrongReason, "documento está protegido|versão anterior"),
    ("nl", StrongReason, "document is beveiligd"),
    ("pl", StrongReason, "dokument jest chroniony"),
    ("ru", StrongReason, "документ защищен"),
    ("zh", StrongReason, "文档受保护"),
    ("ko", StrongReason, "문서가 보호"),
    // Words that manuals use, too: they count beside the button for content only.
    ("en", WeakReason, "to view|to display|to see the content|to open this document|to access|not displayed correctly|protected view"),
    ("ja", WeakReason, "表示するには|正しく表示|閲覧するには|保護ビュー|保護されたビュー"),
    ("de", WeakReason, "um den inhalt anzuzeigen|um das dokument anzuzeigen|geschützte ansicht"),
    ("it", WeakReason, "per visualizzare"),
    ("es", WeakReason, "para ver|para visualizar"),
    ("fr", WeakReason, "pour afficher|pour visualiser"),
    ("nl", WeakReason, "om te bekijken"),
    ("pl", WeakReason, "aby wyświetlić"),
    ("ru", WeakReason, "чтобы просмотреть"),
    // A folder whose files Office trusts, and the request to copy the document there.
    ("", Folder, r"\microsoft office\templates|\microsoft office\root\templates|\root\templates"),
    ("", Folder, r"\office16\xlstart|\office15\xlstart|\office14\xlstart|\excel\xlstart|\word\startup"),
    ("en", AskToCopy, "relaunch required|copy the file to the following folder|copy the file to|copy this file to"),
    ("en", AskToCopy, "copy the document to|copy this document to|need to copy the file|run it again|open it again from"),
    ("ja", AskToCopy, "次のフォルダにコピー|次のフォルダーにコピー|以下のフォルダにコピー|以下のフォルダーにコピー"),
    ("de", AskToCopy, "kopieren sie die datei"),
    ("it", AskToCopy, "copia il file"),
    ("es", AskToCopy, "copie el archivo"),
    ("fr", AskToCopy, "copiez le fichier"),
    ("pt", AskToCopy, "copie o arquivo"),
];

/// Pieces of words of which every request holds one: every phrase for content, editing, macros or a
/// folder. Honest text holds hardly any.
#[rustfmt::skip]
pub const REQUESTS: &[&str] = &[
    "enabl", "macro", "clickoption", "clickonoption", "の有効化", "を有効", "コンテンツの有効", "コンテンツが有効に", "編集が有効に", "soitactiv", "pasactiv", "aktiv", "abilita", "abilite",
    "attiva", "ativar", "activerl", "activezl", "schakelen", "włącz", "etkinle", "povolit", "lubasisu", "lubared",
    "включит", "разрешитьред", "启用", "啟用", "콘텐츠사용", "편집사용", "매크로사용", r"\templates", "xlstart", r"\startup",
];

/// Words for a password, lower case; those in Latin letters count only as whole words.
#[rustfmt::skip]
pub const PASSWORD: &[&str] = &[
    "password", "passwords", "passwd", "passcode", "passphrase", "pass", "pwd", "pw", "p/w",
    "archive code", "unzip code", "パスワード", "解凍パス", "解凍キー", "解凍pw", "暗証番号", "パス", "passwort",
    "kennwort", "contraseña", "clave", "mot de passe", "parola d'ordine", "senha", "wachtwoord",
    "hasło", "lösenord", "adgangskode", "heslo", "parola", "şifre", "пароль", "密码", "密碼", "암호",
    "비밀번호", "psw", "pswd", "passw", "archive key", "zip key", "解凍コード", "開封キー", "開封コード", "合言葉",
    "解压码", "口令", "jelszó", "salasana", "κωδικός", "סיסמה", "mật khẩu", "kata sandi", "รหัสผ่าน", "كلمة المرور",
    "slaptažodis", "parool", "lozinka", "geslo", "zaporka", "парола", "contrasenya", "kodeord", "passord",
];
