"""A Detoxify checkpoint that the real Detoxify loads: BERT of any size with random weights, or a tiny one trained for a second."""
import re
from pathlib import Path

CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


def make_detoxify(folder: Path, texts: list[str], layers: int = 1, hidden: int = 32, heads: int = 2, toxic: list[str] = ()) -> Path:
    "Write configuration, tokenizer and checkpoint into `folder`; with `toxic` texts the model learns to tell them from the others"
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in [*texts, *toxic] for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    config = BertConfig(vocab_size=len(words) + 5, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden, num_labels=len(CLASSES))
    model = BertForSequenceClassification(config)
    if toxic:
        inputs = tokenizer([*texts, *toxic], return_tensors="pt", padding=True, truncation=True)
        labels = torch.zeros(len(texts) + len(toxic), len(CLASSES))
        labels[len(texts) :, 0] = 1  # toxic, and none of the other heads: a mean over heads would miss it
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        for _ in range(200):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs).logits, labels)
            optimizer.zero_grad(), loss.backward(), optimizer.step()
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    arch = {"model_type": str(folder), "model_name": "BertForSequenceClassification", "tokenizer_name": "BertTokenizer", "num_classes": len(CLASSES)}
    torch.save({"config": {"arch": {"args": arch}, "dataset": {"args": {"classes": CLASSES}}}, "state_dict": model.state_dict()}, folder / "model.ckpt")
    return folder / "model.ckpt"
