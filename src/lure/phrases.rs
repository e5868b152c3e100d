//! The phrases, by language: data, not code. Captions of Office stand as Office writes them; they
//! are compared without case, white space and invisible characters.

use super::Sense::{self, AskToCopy, Content, Editing, Folder, Macros, StrongReason, WeakReason};

/// What phrases mean, and the phrases.
pub const PHRASES: &[(Sense, &[&str])] = &[
    // The buttons of the message bar and of Protected View.
    (
        Content,
        &["enable content", "enable the content", "enable all content", "enabling content", "enable this content"],
    ), // en
    (Editing, &["enable editing", "enabling editing"]),
    (
        Macros,
        &[
            "enable macros",
            "enable macro",
            "enable the macros",
            "enabling macros",
            "activate macros",
            "allow macros",
            "click options",
            "click on options",
        ],
    ),
    (Content, &["コンテンツの有効化", "コンテンツを有効", "コンテンツの有効"]), // ja
    (Editing, &["編集を有効", "編集の有効化"]),
    (Macros, &["マクロを有効", "マクロの有効化"]),
    (Content, &["inhalt aktivieren", "inhalte aktivieren", "inhalt zu aktivieren", "aktivieren sie den inhalt"]), // de
    (Editing, &["bearbeitung aktivieren", "bearbeiten aktivieren"]),
    (Macros, &["makros aktivieren", "aktivieren sie makros", "aktivieren sie die makros"]),
    (
        Content,
        &[
            "abilita contenuto",
            "abilita contenuti",
            "abilita il contenuto",
            "abilitare il contenuto",
            "attiva contenuto",
        ],
    ), // it
    (Editing, &["abilita modifica", "abilita modifiche", "abilitare la modifica", "attiva modifica"]),
    (Macros, &["attiva macro", "abilita macro", "attivare le macro", "abilitare le macro"]),
    (Content, &["habilitar contenido", "habilite el contenido", "habilitar el contenido"]), // es
    (Editing, &["habilitar edición", "habilitar la edición"]),
    (Macros, &["habilitar macros", "habilitar las macros", "habilite las macros"]),
    (Content, &["activer le contenu", "activez le contenu"]), // fr
    (Editing, &["activer la modification", "activez la modification"]),
    (Macros, &["activer les macros", "activez les macros"]),
    (Content, &["habilitar conteúdo", "ativar conteúdo", "habilitar o conteúdo"]), // pt
    (Editing, &["habilitar edição", "ativar edição", "habilitar a edição"]),
    (Macros, &["habilitar as macros", "ativar macros"]),
    (Content, &["inhoud inschakelen", "inhoud in te schakelen"]), // nl
    (Editing, &["bewerken inschakelen", "bewerking inschakelen"]),
    (Macros, &["macro's inschakelen"]),
    (Content, &["włącz zawartość"]), // pl
    (Editing, &["włącz edycję", "włącz edytowanie"]),
    (Macros, &["włącz makra"]),
    (Content, &["aktivera innehåll"]), // sv
    (Editing, &["aktivera redigering"]),
    (Content, &["aktivér indhold", "aktiver indhold"]), // da
    (Editing, &["aktivér redigering", "aktiver redigering"]),
    (Content, &["i̇çeriği etkinleştir", "içeriği etkinleştir"]), // tr
    (Editing, &["düzenlemeyi etkinleştir"]),
    (Content, &["povolit obsah"]), // cs
    (Editing, &["povolit úpravy"]),
    (Content, &["luba sisu"]), // et
    (Editing, &["luba redigeerimine"]),
    (Content, &["включить содержимое", "включите содержимое"]), // ru
    (Editing, &["разрешить редактирование"]),
    (Macros, &["включить макросы", "включите макросы"]),
    (Content, &["启用内容", "啟用內容"]), // zh
    (Editing, &["启用编辑", "啟用編輯"]),
    (Macros, &["启用宏", "啟用巨集"]),
    (Content, &["콘텐츠 사용"]), // ko
    (Editing, &["편집 사용"]),
    (Macros, &["매크로 사용"]),
    // Why one should, in words that honest documents do not use of themselves.
    (
        StrongReason,
        &[
            "document is protected",
            "this document protected",
            "file is protected",
            "workbook is protected by",
            "created in an earlier version",
            "created in earlier version",
            "created in a previous version",
            "created in previous version",
            "created with an earlier version",
            "created in an online version",
            "created in online version",
            "file was created on",
            "document was created on",
            "document created in",
            "previewing is not available",
            "preview is not available",
            "not available for protected documents",
            "to decrypt",
            "decryption of the document",
            "update your edition",
            "upgrading your edition",
            "relaunch required",
            "operation did not complete successfully",
            "encrypted by docusign",
            "protected by docusign",
            "secured by",
            "document is encrypted",
            "this document is secure",
            "document is only available for",
            "unable to open the document",
            "office activation",
            "activation wizard",
            "created by a newer version",
            "created in a newer version",
            "opened from a mobile",
            "cannot be previewed",
        ],
    ), // en
    (
        StrongReason,
        &[
            "このドキュメントは保護",
            "このファイルは保護",
            "この文書は保護",
            "以前のバージョン",
            "文書は保護され",
            "ドキュメントは保護され",
        ],
    ), // ja
    (
        StrongReason,
        &[
            "dokument ist geschützt",
            "datei ist geschützt",
            "früheren version",
            "älteren version",
            "vorschau ist nicht verfügbar",
        ],
    ), // de
    (StrongReason, &["documento protetto", "documento è protetto", "versione precedente"]), // it
    (StrongReason, &["documento protegido", "documento está protegido", "versión anterior"]), // es
    (StrongReason, &["document protégé", "document est protégé", "version antérieure", "version précédente"]), // fr
    (StrongReason, &["versão anterior", "documento está protegido"]),                       // pt
    (
        StrongReason,
        &["document is beveiligd", "dokument jest chroniony", "документ защищен", "文档受保护", "문서가 보호"],
    ),
    // Words that manuals use, too: they count beside the buttons' captions only.
    (
        WeakReason,
        &[
            "to view",
            "not displayed correctly",
            "to display",
            "to see the content",
            "to open this document",
            "protected view",
            "to access",
        ],
    ),
    (WeakReason, &["表示するには", "正しく表示", "閲覧するには", "保護ビュー", "保護されたビュー"]),
    (WeakReason, &["um den inhalt anzuzeigen", "um das dokument anzuzeigen", "geschützte ansicht"]),
    (
        WeakReason,
        &[
            "per visualizzare",
            "para ver",
            "para visualizar",
            "pour afficher",
            "pour visualiser",
            "om te bekijken",
            "aby wyświetlić",
            "чтобы просмотреть",
        ],
    ),
    // A folder whose files Office trusts, and the request to copy the document there.
    (
        Folder,
        &[
            r"\microsoft office\templates",
            r"\microsoft office\root\templates",
            r"\root\templates",
            r"\office16\xlstart",
            r"\office15\xlstart",
            r"\office14\xlstart",
            r"\excel\xlstart",
            r"\word\startup",
            r"\microsoft\templates",
        ],
    ),
    (
        AskToCopy,
        &[
            "relaunch required",
            "copy the file to the following folder",
            "copy the file to",
            "copy this file to",
            "copy the document to",
            "copy this document to",
            "need to copy the file",
            "run it again",
            "open it again from",
            "次のフォルダにコピー",
            "次のフォルダーにコピー",
            "以下のフォルダにコピー",
            "以下のフォルダーにコピー",
            "kopieren sie die datei",
            "copia il file",
            "copie el archivo",
            "copiez le fichier",
            "copie o arquivo",
        ],
    ),
];

/// Words for a password, lower case; those in Latin letters count only as whole words.
pub const PASSWORD: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passcode",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "p/w",
    "archive code",
    "unzip code",
    "パスワード",
    "解凍パス",
    "解凍キー",
    "解凍pw",
    "暗証番号",
    "パス",
    "passwort",
    "kennwort",
    "contraseña",
    "clave",
    "mot de passe",
    "parola d'ordine",
    "senha",
    "wachtwoord",
    "hasło",
    "lösenord",
    "adgangskode",
    "heslo",
    "parola",
    "şifre",
    "пароль",
    "密码",
    "密碼",
    "암호",
    "비밀번호",
];
