"""Gradients of an adapter, compared."""
from replytune.models import choose_precision, load_model, load_tokenizer
from replytune.run import sample_rows
from replytune.train import PROJECTIONS, training_row


def lora_gradients(model, batch) -> list:
    "Gradients of every adapter tensor on one batch"
    model.train()
    model.zero_grad()
    model(**batch).loss.backward()
    return [parameter.grad.flatten().float().clone() for name, parameter in sorted(model.named_parameters()) if parameter.requires_grad]


def cosines_over_an_evaluation(weights: str) -> list[float]:
    "Of every adapter tensor of the toy: its gradient before an evaluation, against the same after it"
    import torch
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(0)
    model = get_peft_model(load_model("tiny-qwen3", choose_precision(weights)), LoraConfig(r=4, target_modules=PROJECTIONS, lora_dropout=0.0, init_lora_weights=False))
    row = sample_rows("reviewed.jsonl")[0]
    batch = {name: torch.tensor([values]) for name, values in training_row(load_tokenizer("tiny-qwen3"), row["tweet"], row["reply"]).items()}
    before = lora_gradients(model, batch)
    model.eval()
    with torch.no_grad(): model(**batch)
    return [float(torch.nn.functional.cosine_similarity(one, other, dim=0)) for one, other in zip(before, lora_gradients(model, batch))]
