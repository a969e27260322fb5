"""The rows that builtin:text learns from, and those that it never sees.

    python recipes/text/corpus.py DATA corpus/ [--passes 3] [--seed 1]

DATA holds text/ and chat/ with xz-compressed JSON lines. corpus/ then holds

    pass-1/texts.jsonl          one pass over the mix: every story, half of the tales, a sixteenth of the passages of books
    pass-1/talks.jsonl          and conversations, half of the stories among them as answers to a request
    pass-2/ ...                 the same stories; tales, passages and conversations drawn anew
    heldout/stories.jsonl       TinyStories that are in no pass, chosen by hash, so that adding data moves none of them
    heldout/fairy-tales.jsonl   the tales that no pass has drawn: of three passes every eighth
    heldout/picture-books.jsonl
    heldout/requests.jsonl      requests for the stories held out, and these as answers
    heldout/small-talk.jsonl    small talk that is in no pass, chosen by hash: the questions are new, many answers are not
    CREDITS.txt                 the authors whose licence asks that they be named

The same data, passes and seed give the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Conversation = list[dict[str, str]]

HELD_OUT = 0.02  # of stories and small talk
BOOK_PASSAGES = 0.06  # of the passages of books, in each pass
LONGEST_ANSWER = 1600  # characters of a story that is told when asked for

STORY_REQUESTS = (
    "Tell me a story about {}.",
    "Tell me a short story about {}.",
    "Please tell me a story about {}.",
    "Can you tell me a story about {}?",
    "Could you tell a story about {}?",
    "Write a story about {}.",
    "Write a short story about {}.",
    "Write me a story about {}, please.",
    "I want to hear a story about {}.",
    "I would like a story about {}",
    "story about {}",
    "Do you know a story about {}?",
    "Make up a story about {}.",
)
OPEN_REQUESTS = (
    "Tell me a story.",
    "Please tell me a story.",
    "Can you tell me a story?",
    "Write a story.",
    "Write a short story.",
    "I want to hear a story.",
    "Another story, please.",
    "Tell me another one.",
)
CONTINUE_REQUESTS = (
    "Continue this story: {}",
    "Go on with this story: {}",
    "Finish this story: {}",
    "What happens next? {}",
    "How does it go on? {}",
)
GREETINGS = ("Hello", "Hi", "Hello!", "Hi there", "hello", "Hey", "Good morning", "hi", "Hello there!")
GREETING_REPLIES = ("Hello! What would you like to talk about?", "Hi! Would you like to hear a story?", "Hello! It is nice to meet you.")
SELF = (
    ("Who are you?", "I am a very small language model. I can tell short stories and chat a little."),
    ("What are you?", "I am a very small language model that runs on your own machine."),
    ("What can you do?", "I can tell you short stories, go on with a story that you begin, and chat a little."),
    ("What is your name?", "I have no name of my own. I am the small built-in model of aigc."),
    ("Are you a human?", "No, I am a small computer program."),
    ("Help", "Ask me for a story, for example: tell me a story about a cat."),
    ("What is aigc?", "It is a command that runs models on your own machine. I am the small one that comes with it."),
)
TOPIC_WORDS = """airplane angel ant apple baby bag ball balloon banana barn basket bat bath beach bear bed bee bell bench bike bird
birthday blanket boat bone book bottle bowl box boy bread bridge brother bug bunny bus butterfly cabin cage cake camel
camera candle candy car cat castle cave chair cheese cherry chicken circle city cloud clown coat coin computer cookie
corn cow crab crayon crown cup dad dancer deer dinosaur doctor dog doll dolphin donkey door dragon dream dress drum
duck eagle egg elephant fairy farm farmer fire fish flag flower fly forest fox friend frog fruit game garden ghost giant
giraffe girl goat gold grandma grandpa grass guitar hammer hamster hat hen hill hippo honey horse hospital house ice
island jar jewel juice jungle key king kitchen kite kitten ladder lake lamp leaf lemon letter library lion lizard
magician map market mermaid milk mirror mom money monkey monster moon mountain mouse mud museum music nest night ocean
octopus orange owl painter park parrot party path pear pencil penguin pet phone piano picture pie pig pilot pirate
pizza plane plant pond pony potato present prince princess pumpkin puppy puzzle queen rabbit rain rainbow restaurant
ring river robot rock rocket room rope salad sand school sea seed shark sheep shell ship shirt shoe shop sister sky
snail snake snow snowman soap sock soldier song soup spider spoon squirrel star stick store storm strawberry sun swan
swing table teacher teddy tent tiger toad tomato town toy tractor train treasure tree truck turtle umbrella unicorn
vase village wagon wall water whale wheel wind window wizard wolf wood worm zebra zoo"""
TOPICS = frozenset(TOPIC_WORDS.split())
CAPITAL_QUESTIONS = (
    "What is the capital of {}?",
    "what is the capital of {}",
    "What's the capital of {}?",
    "Do you know the capital of {}?",
    "Tell me the capital of {}.",
)


@dataclass(frozen=True)
class Tale:
    """kind: the file that it goes to where it is held out."""

    kind: str
    text: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with text/ and chat/")
    parser.add_argument("output", type=Path, help="folder for the rows")
    parser.add_argument("--passes", type=int, default=3, help="how many to write; 3")
    parser.add_argument("--seed", type=int, default=1, help="of the first pass; 1")
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + args.passes)
    for number, seed in enumerate(seeds, 1):
        texts, talks = one_pass(args.data, seed)
        write_rows(args.output / f"pass-{number}" / "texts.jsonl", ({"text": text} for text in texts))
        write_rows(args.output / f"pass-{number}" / "talks.jsonl", ({"messages": talk} for talk in talks))
    for name, rows in held_out(args.data, seeds).items():
        write_rows(args.output / "heldout" / f"{name}.jsonl", rows)
    (args.output / "CREDITS.txt").write_text(credits(args.data), "utf-8")


def one_pass(data: Path, seed: int) -> tuple[list[str], list[Conversation]]:
    """Texts and conversations, each in random order."""
    draw = random.Random(seed)
    training, _ = stories(data)
    every = tales(data)
    texts = training + [every[at].text for at in drawn_tales(len(every), draw)] + book_passages(data, draw)
    talks = list(conversations(data, training, draw))
    draw.shuffle(texts)
    return texts, talks


def drawn_tales(count: int, draw: random.Random) -> list[int]:
    return draw.sample(range(count), count // 2)


def held_out(data: Path, seeds: Iterable[int]) -> dict[str, list[dict[str, Any]]]:
    """Rows that are in none of the passes made with these seeds, by the names of their files."""
    _, unseen = stories(data)
    every = tales(data)
    seen = {at for seed in seeds for at in drawn_tales(len(every), random.Random(seed))}
    _, small = small_talk(data)
    draw = random.Random(0)
    return {
        "stories": [{"text": text} for text in unseen],
        "fairy-tales": [{"text": tale.text} for at, tale in enumerate(every) if at not in seen and tale.kind == "fairy-tales"],
        "picture-books": [{"text": tale.text} for at, tale in enumerate(every) if at not in seen and tale.kind == "picture-books"],
        "requests": [{"messages": story_turn(story, draw)} for story in unseen if len(story) < LONGEST_ANSWER],
        "small-talk": [{"messages": tidied(talk)} for talk in small],
    }


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_held_out(text: str) -> bool:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def tidy(text: str) -> str:
    """One typography for all sources: straight quotes, plain dashes, no runs of blank lines."""
    for old, new in (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"), ("—", " - "), ("–", "-"), ("…", "...")):
        text = text.replace(old, new)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def stories(data: Path) -> tuple[list[str], list[str]]:
    """TinyStories as (training, held out)."""
    texts = [tidy(row["text"]) for row in read_jsonl(data / "text/tinystories.jsonl.xz")]
    texts = [text for text in texts if len(text) > 200]
    return [t for t in texts if not is_held_out(t)], [t for t in texts if is_held_out(t)]


def tales(data: Path) -> list[Tale]:
    """Picture books and fairy tales: richer words, longer sentences."""
    books = [Tale("picture-books", tidy(row["text"])) for row in read_jsonl(data / "text/storybooks.jsonl.xz") if row["lang"] == "en"]
    told = [Tale("fairy-tales", tidy("\n".join(row["sections"]))) for row in read_jsonl(data / "text/fairytaleqa.jsonl.xz")]
    return books + told


def credits(data: Path) -> str:
    """The picture books' titles, authors and translators, whose licence (CC BY) asks that they be named."""
    title = "Picture books from the African Storybook, Pratham Books and Global-ASP, licensed CC BY, that builtin:text learned from"
    books = set()
    for row in read_jsonl(data / "text/storybooks.jsonl.xz"):
        if row["lang"] == "en":
            translator = f", translated by {row['translator']}" if row["translator"] else ""
            books.add(f"{row['title']} - {row['author']}{translator}")
    lines = [title, "", *sorted(books, key=str.casefold)]
    return "\n".join(lines) + "\n"


def topic_of(story: str, draw: random.Random) -> str | None:
    """A word, or a named character, that the story is about: said at least twice."""
    words = re.findall(r"[a-z]+", story.lower())
    nouns = [word for word in dict.fromkeys(words) if word in TOPICS and words.count(word) >= 2]
    names = [n for n in dict.fromkeys(re.findall(r"named ([A-Z][a-z]+)", story)) if story.count(n) >= 2]
    if not nouns:
        return f"{'someone' if draw.random() < 0.5 else 'a child'} named {names[0]}" if names else None
    noun = draw.choice(nouns[:4])
    article = "an" if noun[0] in "aeiou" else "a"
    phrase = draw.choice((f"{article} {noun}",) * 4 + (f"the {noun}", noun))
    if names and draw.random() < 0.25:
        return f"{names[0]} and {article} {noun}"
    return phrase


def story_turn(story: str, draw: random.Random) -> Conversation:
    """A request that the story answers."""
    kind = draw.random()
    if kind < 0.25 and "\n" not in story[:300]:
        sentences = re.split(r"(?<=[.!?]) ", story)
        begun = " ".join(sentences[: draw.randint(1, 2)])
        if len(begun) < len(story) // 2:
            return turn(draw.choice(CONTINUE_REQUESTS).format(begun), story[len(begun) :].strip())
    topic = topic_of(story, draw)
    if topic is None or kind > 0.93:
        return turn(draw.choice(OPEN_REQUESTS), story)
    return turn(draw.choice(STORY_REQUESTS).format(topic), story)


def turn(question: str, answer: str) -> Conversation:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def tidied(talk: Conversation) -> Conversation:
    return [{**message, "content": tidy(message["content"])} for message in talk]


def capitals(data: Path) -> dict[str, str]:
    found = {}
    for row in read_jsonl(data / "text/factbook_en.jsonl.xz"):
        for path, value in row["facts"]:
            if path.lower().endswith("capital / name"):
                capital = re.split(r"[;(<,]| note", str(value))[0].strip()
                if re.fullmatch(r"[A-Z][\w .'-]{2,25}", capital):
                    found[row["country"]] = capital
    return found


def small_talk(data: Path) -> tuple[list[Conversation], list[Conversation]]:
    """Short questions with short answers, as (training, held out)."""
    turns = [[dict(m) for m in row["messages"]] for row in read_jsonl(data / "chat/chitchat_en.jsonl.xz") if row["style"] == "friendly"]
    for row in read_jsonl(data / "chat/instruct_mix.jsonl.xz"):
        if row["src"] == "chatterbot-corpus" and sum(len(m["content"]) for m in row["messages"]) < 400:
            turns.append([dict(m) for m in row["messages"]])
    training = [talk for talk in turns if not is_held_out(talk[0]["content"])]
    training += [turn(question, answer) for question, answer in SELF] * 12
    return training, [talk for talk in turns if is_held_out(talk[0]["content"])]


def conversations(data: Path, training_stories: list[str], draw: random.Random) -> Iterator[Conversation]:
    """One pass over every conversation source, in random order, joined to talks of one to five turns."""
    pool, _ = small_talk(data)
    pool += [turn(draw.choice(GREETINGS), draw.choice(GREETING_REPLIES)) for _ in range(300)]
    for country, capital in capitals(data).items():
        for _ in range(4):
            pool.append(turn(draw.choice(CAPITAL_QUESTIONS).format(country), f"The capital of {country} is {capital}."))
    pool += [story_turn(story, draw) for story in training_stories if len(story) < LONGEST_ANSWER and draw.random() < 0.5]
    draw.shuffle(pool)
    while pool:
        talk: Conversation = []
        for _ in range(min(len(pool), draw.choice((1, 1, 1, 2, 2, 3, 4, 5)))):
            talk += pool.pop()
        yield tidied(talk)


def book_passages(data: Path, draw: random.Random) -> list[str]:
    """Passages of some 2,000 characters from children's books in the public domain, a few of all."""
    passages = []
    for row in read_jsonl(data / "text/books_children.jsonl.xz"):
        paragraphs = [" ".join(p.split()) for p in tidy(row["text"]).split("\n\n") if not p.lstrip().startswith(("#", "---", "_", "*"))]
        passage = ""
        for paragraph in paragraphs:
            passage += ("\n\n" if passage else "") + paragraph
            if len(passage) > 2000:
                passages.append(passage)
                passage = ""
    return [passage for passage in passages if draw.random() < BOOK_PASSAGES]


if __name__ == "__main__":
    main()
