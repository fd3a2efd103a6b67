"""The corpus of the built-in model: dialogues made by a seeded grammar, one file an ability.

Every maker is a function ``(chance: Chance) -> Dialogue``; ``mixture`` draws from all of them. ``Chance``
carries the split: phrasings, words and numbers of the ``test`` split never occur in ``train``.
"""
