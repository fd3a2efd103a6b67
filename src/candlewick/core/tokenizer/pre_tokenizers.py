"""How byte-level vocabularies split texts into words before merging: ``tokenizer.ggml.pre`` -> patterns.

Owns this table and nothing else. The patterns are those of the models' own ``tokenizer.json`` files, or,
where llama.cpp's reading of the name is all there is, those of its ``llama-vocab.cpp``; the syntax is
Oniguruma's. Names whose splitting no pattern of linear cost expresses (``kimi-k2``, ``superbpe``, ``afmoe``,
…) are left out on purpose: a wrong split is worse than a clear error.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PreTokenizer:
    """Each pattern in turn splits all pieces that the ones before it made: into its matches and the rest."""

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    """A word that is itself a token is that token, whatever the merges would make of it."""
    add_bos: bool = False
    """Whether texts begin with BOS where the file's ``add_bos_token`` does not say."""
    compose: bool = False
    """Bring the text to Unicode's normal form C first."""


_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES_AND_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT4_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _LINES_AND_BLANKS
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _GPT4_TAIL
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _GPT4_TAIL
_QWEN35 = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
    + _LINES_AND_BLANKS
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _LINES_AND_BLANKS


def _cased_words(suffix: str) -> str:
    """Words that end where lower case turns to upper (the o200k vocabulary and its kin)."""
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{_UPPER}*{_LOWER}+{suffix}|{start}{_UPPER}+{_LOWER}*{suffix}"


_O200K = _cased_words(_CONTRACTIONS + "?") + r"|\p{N}{1,3}" + _O200K_TAIL
_TEKKEN = _cased_words("") + r"|\p{N}" + _O200K_TAIL
_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + _LINES_AND_BLANKS,
)
# By number those that canonical composition, which editors apply, would turn into other letters.
_DEEPSEEK_LLM_LETTERS = (
    r"A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗ"
    r"ὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
# The range from : to ~ holds the letters too; the model was trained with words split so.
_DEEPSEEK_LLM_PUNCTUATION = r"\s?[!-/:-~！-／：-～‘-‟　-。]+"
_CJK_AND_HANGUL = "[一-龥ࠀ-一가-퟿]+"
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"

_BY_GPT2 = PreTokenizer((_GPT2,))
_DIGITS_THEN_GPT2 = PreTokenizer((r"\p{N}", _GPT2))
_BY_LLAMA3 = PreTokenizer((_LLAMA3,))
_BY_LLAMA3_WITH_BOS = PreTokenizer((_LLAMA3,), ignore_merges=True, add_bos=True)
_BY_QWEN2 = PreTokenizer((_QWEN2,))
_BY_O200K = PreTokenizer((_O200K,))
_BY_DEEPSEEK_V3 = PreTokenizer(_DEEPSEEK_V3)
_BY_BLOOM = PreTokenizer((_BLOOM,))
_BY_BAILING = PreTokenizer(
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    )
)

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "falcon": PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    # GPT-2's own splitting
    "gpt-2": _BY_GPT2,
    "phi-2": _BY_GPT2,
    "mpt": _BY_GPT2,
    "olmo": _BY_GPT2,
    "jais": _BY_GPT2,
    "gigachat": _BY_GPT2,
    "a.x-4.0": _BY_GPT2,
    "mellum": _BY_GPT2,
    "trillion": _BY_GPT2,
    "granite-docling": _BY_GPT2,
    "exaone4": _BY_GPT2,
    # each digit by itself, then GPT-2's
    "starcoder": _DIGITS_THEN_GPT2,
    "refact": _DIGITS_THEN_GPT2,
    "command-r": _DIGITS_THEN_GPT2,
    "smollm": _DIGITS_THEN_GPT2,
    "codeshell": _DIGITS_THEN_GPT2,
    "exaone": _DIGITS_THEN_GPT2,
    "minerva-7b": _DIGITS_THEN_GPT2,
    "mellum2": _DIGITS_THEN_GPT2,
    # Llama 3's
    "llama-bpe": _BY_LLAMA3_WITH_BOS,
    "llama3": _BY_LLAMA3_WITH_BOS,
    "llama-v3": _BY_LLAMA3_WITH_BOS,
    "falcon3": _BY_LLAMA3_WITH_BOS,
    "falcon-h1": _BY_LLAMA3_WITH_BOS,
    "pixtral": _BY_LLAMA3_WITH_BOS,
    "midm-2.0": _BY_LLAMA3_WITH_BOS,
    "lfm2": _BY_LLAMA3_WITH_BOS,
    "smaug-bpe": _BY_LLAMA3,
    "dbrx": _BY_LLAMA3,
    "glm4": _BY_LLAMA3,
    "chatglm-bpe": _BY_LLAMA3,
    # Qwen 2's
    "qwen2": PreTokenizer((_QWEN2,), compose=True),
    "deepseek-r1-qwen": _BY_QWEN2,
    "kormo": _BY_QWEN2,
    "stablelm2": _BY_QWEN2,
    "hunyuan": _BY_QWEN2,
    "solar-open": _BY_QWEN2,
    "megrez": _BY_QWEN2,
    "grok-2": _BY_QWEN2,
    "qwen35": PreTokenizer((_QWEN35,)),
    "seed-coder": PreTokenizer(
        (_CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + _LINES_AND_BLANKS,)
    ),
    # o200k's
    "gpt-4o": _BY_O200K,
    "llama4": _BY_O200K,
    "kanana2": _BY_O200K,
    "minimax-m2": _BY_O200K,
    "tekken": PreTokenizer((_TEKKEN,), ignore_merges=True, add_bos=True),
    # DeepSeek's
    "deepseek-v3": _BY_DEEPSEEK_V3,
    "hunyuan-dense": _BY_DEEPSEEK_V3,
    "joyai-llm": _BY_DEEPSEEK_V3,
    "deepseek-llm": PreTokenizer(
        (
            r"[\r\n]",
            rf"\s?[{_DEEPSEEK_LLM_LETTERS}]+",
            _DEEPSEEK_LLM_PUNCTUATION,
            # As \s+$, tried only where a run of blanks begins: from all its places it costs the square.
            r"(?<!\s)\s+$",
            _CJK_AND_HANGUL,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_AND_HANGUL, r"\p{N}")),
    # Ling's
    "bailingmoe": _BY_BAILING,
    "bailingmoe2": _BY_BAILING,
    "llada-moe": _BY_BAILING,
    # BLOOM's
    "bloom": _BY_BLOOM,
    "poro-chat": _BY_BLOOM,
    "gpt3-finnish": _BY_BLOOM,
    "viking": PreTokenizer((_BLOOM, r"\p{N}")),
}
